// The documentation of the API, rendered from openapi.json. Every operation can be tried.
"use strict";

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const headersWithKey = (headers) => {
  const key = sessionStorage.getItem("api-key");
  return key ? { ...headers, "x-api-key": key } : headers;
};

const pretty = (value) => JSON.stringify(value, null, 2);

function resolve(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? api.components.schemas[name] : schema;
}

function drawFields(api, schema) {
  const resolved = resolve(api, schema);
  const shape = resolved?.items ? resolve(api, resolved.items) : resolved;
  if (!shape?.properties) return [];
  const rows = Object.entries(shape.properties).map(([name, property]) => {
    const type = [property.type].flat().filter((type) => type !== "null").join(" or ");
    const range = [property.minimum !== undefined ? `from ${property.minimum}` : "", property.maximum !== undefined ? `to ${property.maximum}` : ""].join(" ").trim();
    const levels = property.enum ? property.enum.filter((level) => level !== null).join(", ") : "";
    const limits = [range, levels, property.description].filter(Boolean).join("; ");
    return make("tr", {}, make("th", { scope: "row" }, make("code", {}, name)), make("td", {}, type || "any"), make("td", {}, limits));
  });
  return [make("table", {}, make("thead", {}, make("tr", {}, ...["field", "type", "limits"].map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows))];
}

function drawOperation(api, path, method, operation) {
  const section = make("details", {}, make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), ` ${path} – ${operation.summary}`));
  const inside = make("div");
  if (operation.description) inside.append(make("p", {}, operation.description));
  const content = operation.requestBody?.content?.["application/json"];
  const example = content?.example;
  if (content) inside.append(make("h3", {}, "Body"), ...drawFields(api, content.schema));
  const others = Object.keys(operation.requestBody?.content || {}).filter((type) => type !== "application/json");
  if (others.length) inside.append(make("p", {}, "Also accepted, as a stream: ", make("code", {}, others.join(", "))));
  inside.append(make("h3", {}, "Responses"));
  const answers = Object.entries(operation.responses).map(([status, answer]) => make("tr", {}, make("th", { scope: "row" }, status), make("td", {}, answer.description)));
  inside.append(make("table", {}, make("tbody", {}, ...answers)));
  const url = location.origin + path;
  const data = example ? ` \\\n  -H 'content-type: application/json' -d '${JSON.stringify(example)}'` : "";
  inside.append(make("h3", {}, "With curl"), make("pre", {}, `curl -s ${method === "post" ? "-X POST " : ""}${url}${data}`));
  if (!path.includes("{")) {
    const result = make("pre", { "aria-live": "polite", tabindex: "0" }, "");
    const body = example ? make("textarea", { "aria-label": "Body", rows: "8", spellcheck: "false" }) : null;
    if (body) body.value = pretty(example);
    const button = make("button", { type: "button" }, "Try it");
    button.addEventListener("click", async () => {
      try {
        const options = { method: method.toUpperCase(), headers: headersWithKey(body ? { "content-type": "application/json" } : {}) };
        const response = await fetch(path.slice(1) || "./", body ? { ...options, body: body.value } : options);
        const text = await response.text();
        let shown = text;
        try { shown = pretty(JSON.parse(text)); } catch { /* not JSON: shown as it is */ }
        result.textContent = `${response.status} ${response.statusText}\n\n${shown.slice(0, 20000)}`;
      } catch (error) {
        result.textContent = `The API does not respond: ${error.message}`;
      }
    });
    inside.append(make("h3", {}, "Try it"), ...(body ? [body] : []), make("p", {}, button), result);
  }
  section.append(inside);
  return section;
}

async function load() {
  const main = document.getElementById("operations");
  try {
    const response = await fetch("openapi.json", { headers: headersWithKey({}) });
    if (!response.ok) {
      const message = await response.text();
      main.replaceChildren(make("p", { class: "fault" }, `${response.status} ${message}. `, make("a", { href: "./" }, "Enter the key on the page")));
      return;
    }
    const api = await response.json();
    document.title = api.info.title;
    document.getElementById("title").textContent = api.info.title;
    document.getElementById("subtitle").textContent = `version ${api.info.version}`;
    const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).filter(([method]) => method !== "parameters").map(([method, operation]) => drawOperation(api, path, method, operation)));
    main.replaceChildren(make("p", {}, api.info.description), ...operations);
  } catch (error) {
    main.replaceChildren(make("p", { class: "fault" }, `The API does not respond: ${error.message}`));
  }
}

load();
