// The page: a form made from the model's schema, the prediction with its interval and contributions, and the prediction of tables.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { model: null, key: sessionStorage.getItem("api-key") || "", asked: 0 };

/** An element with text and children; text is never read as HTML. */
function make(name, attributes = {}, ...children) {
  const svg = ["svg", "rect", "line"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const fill = (id, ...children) => $(id).replaceChildren(...children);

function number(value, digits) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const shown = digits ?? (size >= 1000 ? 0 : size >= 10 ? 1 : 3);
  return value.toLocaleString("en-US", { maximumFractionDigits: shown });
}

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (state.key) headers["x-api-key"] = state.key;
  return fetch(path, { ...options, headers });
}

/** The error in a response. */
async function faultOf(response) {
  const text = await response.text();
  try {
    const body = JSON.parse(text);
    return { status: response.status, message: body.error || text, detail: body.detail || [] };
  } catch {
    return { status: response.status, message: text || response.statusText, detail: [] };
  }
}

function showKeyForm(message) {
  $("key-form").hidden = false;
  $("columns").hidden = true;
  $("batch-section").hidden = true;
  $("key-fault").hidden = !message;
  $("key-fault").textContent = message || "";
  $("key").focus();
}

async function load() {
  let response;
  try {
    response = await ask("model");
  } catch (error) {
    fill("subtitle", make("span", { class: "fault", role: "alert" }, `The API does not respond: ${error.message}`));
    setTimeout(load, 3000);
    return;
  }
  if (response.status === 401) {
    showKeyForm(state.key ? "This API key is invalid." : "");
    return;
  }
  if (!response.ok) {
    const fault = await faultOf(response);
    fill("subtitle", make("span", { class: "fault", role: "alert" }, `${fault.status}: ${fault.message}`));
    return;
  }
  state.model = await response.json();
  $("key-form").hidden = true;
  for (const id of ["columns", "batch-section", "card-section"]) $(id).hidden = false;
  const model = state.model;
  const title = model.name.replaceAll("_", " ");
  document.title = title;
  $("title").textContent = title;
  $("subtitle").textContent =
    `predicts ${words(model.target)} · ${model.algorithm}, version ${model.version} · trained on ${number(model.train_rows)} rows`;
  drawForm();
  fill("card", ...markdown(model.card || "This model has no card."));
  drawDrift();
  predict();
}

const words = (name) => name.replaceAll("_", " ");

function limitsOf(column) {
  const [low, high] = column.training_range || [column.minimum, column.maximum];
  return { low: column.minimum ?? low, high: column.maximum ?? high, seen: column.training_range };
}

function drawForm() {
  fill("fields", ...state.model.columns.map(drawField));
}

function drawField(column, place) {
  const id = `field-${place}`;
  const field = make("div", { class: "field", "data-name": column.name });
  const required = column.required ? " (required)" : "";
  field.append(make("label", { for: id }, words(column.name) + required));
  const common = { id, name: column.name, "aria-describedby": `${id}-hint ${id}-fault`, required: column.required };
  let hint = "";
  if (column.enum) {
    const options = column.enum.filter((level) => level !== null);
    const select = make("select", common);
    if (!column.required) select.append(make("option", { value: "" }, "unknown"));
    for (const level of options) select.append(make("option", { value: level, selected: level === column.typical }, level));
    field.append(select);
  } else if (column.format === "date") {
    field.append(make("input", { ...common, type: "date", value: column.typical }));
  } else if (column.kind === "number") {
    const { low, high, seen } = limitsOf(column);
    const whole = column.integer;
    const input = make("input", { ...common, type: "number", step: whole ? 1 : "any", value: column.typical, min: column.minimum, max: column.maximum, inputmode: "decimal" });
    if (seen && seen[1] > seen[0]) {
      const step = whole ? 1 : niceStep(seen[1] - seen[0]);
      const slider = make("input", { type: "range", min: seen[0], max: seen[1], step, value: column.typical, "aria-label": words(column.name), tabindex: 0 });
      slider.addEventListener("input", () => { input.value = slider.value; changed(); });
      input.addEventListener("input", () => { slider.value = input.value; });
      field.append(make("div", { class: "pair" }, slider, input));
    } else {
      field.append(input);
    }
    const allowed = low !== undefined && high !== undefined ? `${number(low)} to ${number(high)}` : "any number";
    hint = seen ? `allowed ${allowed}; in training ${number(seen[0])} to ${number(seen[1])}` : `allowed ${allowed}`;
    if (column.name.includes("year")) hint = hint.replaceAll(",", "");
  } else {
    field.append(make("input", { ...common, type: "text", value: column.typical ?? "" }));
  }
  field.append(make("div", { class: "hint", id: `${id}-hint` }, hint), make("div", { id: `${id}-fault` }));
  field.addEventListener("input", changed);
  return field;
}

function niceStep(width) {
  const power = Math.pow(10, Math.floor(Math.log10(width / 200)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => width / step <= 400) || power;
}

function rowOf() {
  const row = {};
  for (const column of state.model.columns) {
    const input = $("form").elements.namedItem(column.name);
    const text = input.value.trim();
    if (text === "") row[column.name] = null;
    else row[column.name] = column.kind === "number" && !Number.isNaN(Number(text)) ? Number(text) : text;
  }
  return row;
}

let timer = 0;
function changed() {
  clearTimeout(timer);
  timer = setTimeout(predict, 250);
}

async function predict() {
  clearTimeout(timer);
  const turn = ++state.asked;
  const started = performance.now();
  let response;
  try {
    response = await ask("predict", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(rowOf()) });
  } catch (error) {
    if (turn === state.asked) showFaults({ status: "", message: `The API does not respond: ${error.message}`, detail: [] });
    return;
  }
  const took = performance.now() - started;
  if (response.status === 401) return showKeyForm("This API key is invalid.");
  const body = response.ok ? await response.json() : await faultOf(response);
  // an older response must not replace a newer one
  if (turn !== state.asked) return;
  clearFaults();
  if (response.ok) showPrediction(body, took);
  else showFaults(body);
}

function clearFaults() {
  fill("faults");
  for (const field of document.querySelectorAll(".field")) {
    field.classList.remove("wrong");
    field.lastElementChild.replaceChildren();
    const input = field.querySelector("[name]");
    input.removeAttribute("aria-invalid");
  }
}

function showFaults(fault) {
  clearFaults();
  fill("result", make("p", { class: "quiet" }, "No prediction."));
  fill("parts");
  const list = [make("div", { class: "fault" }, `${fault.status} ${fault.message}`.trim())];
  for (const detail of fault.detail) {
    const name = detail.loc[detail.loc.length - 1];
    const field = [...document.querySelectorAll(".field")].find((field) => field.dataset.name === name);
    const near = detail.nearest ? ` Did you mean ${detail.nearest}?` : "";
    if (field) {
      field.classList.add("wrong");
      field.querySelector("[name]").setAttribute("aria-invalid", "true");
      field.lastElementChild.replaceChildren(make("p", { class: "fault" }, detail.msg + near));
    } else {
      list.push(make("div", { class: "fault" }, `${name}: ${detail.msg}${near}`));
    }
  }
  fill("faults", ...list);
}

function showPrediction(result, took) {
  const key = `predicted_${state.model.target}`;
  const shown = [make("p", { class: "price" }, number(result[key], 0))];
  if (result.confidence_interval) {
    const [low, high] = result.confidence_interval;
    shown.push(make("p", {}, `${number(low, 0)} to ${number(high, 0)} with ${number(result.interval_coverage * 100, 1)} % coverage`));
  } else {
    shown.push(make("p", { class: "quiet" }, "This model has no intervals."));
  }
  for (const warning of result.warnings) shown.push(make("p", { class: "note" }, `${words(warning.field)}: ${warning.msg}`));
  shown.push(make("p", { class: "quiet" }, `predicted in ${number(took, 1)} ms by version ${result.model_version} · request ${result.request_id}`));
  fill("result", ...shown);
  drawParts(result);
}

function drawParts(result) {
  const parts = Object.entries(result.features_importance).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  if (parts.length === 0) {
    fill("parts", make("p", { class: "quiet" }, "This model has no contributions."));
    return;
  }
  const widest = Math.max(...parts.map(([, part]) => Math.abs(part)), 1e-9);
  const rows = parts.map(([name, part]) => {
    const width = (Math.abs(part) / widest) * 50;
    const bar = make("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: part < 0 ? "down" : "up", x: part < 0 ? 50 - width : 50, y: 1, width, height: 8 }),
      make("line", { class: "axis", x1: 50, x2: 50, y1: 0, y2: 10 }));
    const sign = part > 0 ? "+" : "";
    return make("tr", {}, make("th", { scope: "row" }, words(name)), make("td", { class: "bar" }, bar),
      make("td", { class: `number ${part < 0 ? "down-text" : "up-text"}` }, sign + number(part, 0)));
  });
  fill("parts", make("h3", {}, "Contributions"),
    make("p", { class: "quiet" }, `The base value ${number(result.base_value, 0)} and these contributions add up to the prediction.`),
    make("table", {}, make("tbody", {}, ...rows)));
}

function drawDrift() {
  const drift = state.model.drift;
  $("drift-section").hidden = !drift;
  if (!drift) return;
  const word = (psi) => (psi === null ? "too few rows" : psi > 0.25 ? "large" : psi > 0.1 ? "moderate" : "small");
  const rows = [...Object.entries(drift.columns), ["prediction", drift.prediction]]
    // columns without a reference stay unknown, however many rows there are
    .filter(([, psi]) => psi !== null || drift.rows < drift.rows_needed)
    .map(([name, psi]) => make("tr", {}, make("th", { scope: "row" }, words(name)),
      make("td", { class: "number" }, psi === null ? "–" : psi.toFixed(3)), make("td", {}, word(psi))));
  fill("drift", make("p", { class: "quiet" }, `Population stability index of the last ${number(drift.rows)} rows: above 0.1 is a moderate drift, above 0.25 a large one.`),
    make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "column"), make("th", { scope: "col", class: "number" }, "index"), make("th", { scope: "col" }, "drift"))), make("tbody", {}, ...rows)));
}

async function refreshDrift() {
  if (!$("drift-section").open) return;
  try {
    const response = await ask("model");
    if (response.ok) {
      state.model.drift = (await response.json()).drift;
      drawDrift();
    }
  } catch {
    // the next attempt may succeed; a prediction would show the error
  }
}

async function sendFile() {
  const file = $("file").files[0];
  if (!file) return fill("batch-result", make("p", { class: "fault" }, "Choose a file first."));
  $("send").disabled = true;
  fill("batch-result", make("p", { class: "quiet" }, `Predicting ${file.name} …`));
  const started = performance.now();
  try {
    const response = await ask("batch-predict", { method: "POST", headers: { "content-type": "text/csv" }, body: file });
    if (!response.ok) {
      const fault = await faultOf(response);
      fill("batch-result", make("p", { class: "fault" }, `${fault.status} ${fault.message}`));
      return;
    }
    const blob = await response.blob();
    const took = (performance.now() - started) / 1000;
    const { rows, problems } = countRows(await blob.text());
    const link = make("a", { href: URL.createObjectURL(blob), download: file.name.replace(/(\.csv)?$/i, ".predicted.csv") }, "Download the predictions");
    const rejected = problems ? `, ${number(problems)} without a prediction: the column “problem” states the reason` : "";
    fill("batch-result", make("p", {}, `${number(rows)} rows in ${number(took, 2)} s${rejected}.`), make("p", {}, link));
  } catch (error) {
    fill("batch-result", make("p", { class: "fault" }, `The table was not predicted completely: ${error.message}`));
  } finally {
    $("send").disabled = false;
  }
}

/** The number of rows of a CSV text, and of those whose last cell is not empty. */
function countRows(text) {
  let rows = -1, problems = 0, quoted = false, last = "";
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (character === "\n" && !quoted) {
      rows += 1;
      if (rows > 0 && last !== "," && last !== "\r") problems += 1;
    }
    last = character;
  }
  return { rows, problems };
}

/** Converts headings, tables, lists and paragraphs of Markdown to elements. */
function markdown(text) {
  const out = [], lines = text.split("\n");
  const plain = (part) => part.replaceAll("**", "").replaceAll("\\|", "|").replaceAll("&lt;", "<");
  const inline = (line) => line.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : plain(part)));
  const cells = (line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim());
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    const heading = line.match(/^(#+) (.*)/);
    if (heading) out.push(make(heading[1].length === 1 ? "h2" : "h3", {}, heading[2]));
    else if (line.startsWith("|")) {
      const rows = [];
      for (; lines[at]?.startsWith("|"); at += 1) rows.push(cells(lines[at]));
      const body = rows.slice(2).map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, ...inline(cell)))));
      out.push(make("table", {}, make("thead", {}, make("tr", {}, ...rows[0].map((cell) => make("th", { scope: "col" }, cell)))), make("tbody", {}, ...body)));
    } else if (line.startsWith("```")) {
      const code = [];
      for (at += 1; at < lines.length && !lines[at].startsWith("```"); at += 1) code.push(lines[at]);
      out.push(make("pre", {}, code.join("\n")));
    } else if (line.startsWith("- ")) {
      const items = [];
      for (; lines[at]?.startsWith("- "); at += 1) items.push(make("li", {}, ...inline(lines[at].slice(2))));
      at -= 1;
      out.push(make("ul", {}, ...items));
    } else if (line.startsWith("> ")) out.push(make("p", { class: "note" }, ...inline(line.slice(2))));
    else if (line.trim()) out.push(make("p", {}, ...inline(line)));
  }
  return out;
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); predict(); });
$("reset").addEventListener("click", () => { drawForm(); predict(); });
$("send").addEventListener("click", sendFile);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = $("key").value.trim();
  sessionStorage.setItem("api-key", state.key);
  load();
});
setInterval(refreshDrift, 5000);
$("drift-section").addEventListener("toggle", refreshDrift);
load();
