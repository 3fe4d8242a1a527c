// Reads a workflow as GitHub does, and evaluates its conditions and its texts with `${{ }}`: by GitHub's own parser and evaluator.
//
//   node evaluate.mjs WORKFLOW      (bundled by esbuild: scripts/run_workflow.py does that)
//
// The first line that it writes is {"errors": [...], "jobs": [...], "env": {...}, "inputs": {...}}. Then it answers lines:
// {"condition": TEXT, "contexts": {...}, "ran": [results]} with {"value": true|false}, {"fill": ANYTHING, ...} with the same where every
// text is filled in. A question that cannot be answered has {"error": TEXT}.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parse as parseYaml } from 'yaml';
import { parseWorkflow, NoOperationTraceWriter, convertWorkflowTemplate } from '@actions/workflow-parser';
import { Evaluator, Lexer, Parser, data } from '@actions/expressions';
import { replacer } from '@actions/expressions/data/replacer';
import { reviver } from '@actions/expressions/data/reviver';
import { truthy } from '@actions/expressions/result';

const CONTEXTS = ['github', 'inputs', 'vars', 'secrets', 'env', 'needs', 'steps', 'matrix', 'strategy', 'runner', 'job'];

/** What GitHub's parser says, and the jobs: conditions as it completes them, the rest as it stands in the file. */
async function read(name) {
  const content = readFileSync(name, 'utf8');
  const parsed = parseWorkflow({ name, content }, new NoOperationTraceWriter());
  const errors = () =>
    parsed.context.errors.getErrors().map((error) => `${name}:${error.range?.start.line}:${error.range?.start.column}: ${error.rawMessage ?? error.message}`);
  if (errors().length) return { errors: errors(), jobs: [] };
  // unknown needs, cycles, bad times and doubled ids are only seen here
  const converted = await convertWorkflowTemplate(parsed.context, parsed.value);
  if (errors().length) return { errors: errors(), jobs: [] };
  const yaml = parseYaml(content);
  const jobs = converted.jobs.map((job) => {
    const raw = yaml.jobs[job.id.value];
    const steps = (raw.steps ?? []).map((step, place) => ({ ...step, if: job.steps[place].if.expression }));
    return { ...raw, id: job.id.value, needs: (job.needs ?? []).map((need) => need.value), if: job.if.expression, steps };
  });
  return { errors: [], jobs, env: yaml.env ?? {}, inputs: yaml.on?.workflow_dispatch?.inputs ?? {} };
}

/** `a ${{ b }} c` in pieces; `}}` inside quotes ends nothing. */
function cut(text) {
  const pieces = [];
  for (let at = 0; at < text.length; ) {
    const open = text.indexOf('${{', at);
    if (open < 0) return [...pieces, { text: text.slice(at) }];
    if (open > at) pieces.push({ text: text.slice(at, open) });
    let quoted = false;
    let end = open + 3;
    for (; end < text.length && (quoted || !text.startsWith('}}', end)); end += 1) if (text[end] === "'") quoted = !quoted;
    if (end >= text.length) throw new Error(`"${text.slice(open)}" is not closed`);
    pieces.push({ expression: text.slice(open + 3, end).trim() });
    at = end + 2;
  }
  return pieces;
}

/** success() and its like: of a job by the results of all before it, of a step by those of the steps before it. */
function functions(ran) {
  const give = (name, holds) => ({ name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(holds()) });
  return [
    give('success', () => ran.every((result) => result === 'success')),
    give('failure', () => ran.includes('failure')),
    give('cancelled', () => ran.includes('cancelled')),
    give('always', () => true),
  ];
}

function evaluate(expression, { contexts = {}, ran = [] }) {
  const known = functions(ran);
  const tree = new Parser(new Lexer(expression).lex().tokens, CONTEXTS, known).parse();
  const value = (context) => JSON.parse(JSON.stringify(contexts[context] ?? {}), reviver);
  // the evaluator takes every context to be there
  const root = new data.Dictionary(...CONTEXTS.map((key) => ({ key, value: value(key) })));
  return new Evaluator(tree, root, new Map(known.map((one) => [one.name, one]))).evaluate();
}

/** The same with every text filled in; a text that is one expression keeps the expression's type. */
function fill(value, question) {
  if (Array.isArray(value)) return value.map((one) => fill(one, question));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, fill(one, question)]));
  if (typeof value !== 'string') return value;
  const pieces = cut(value);
  if (pieces.length === 1 && pieces[0].expression !== undefined) return JSON.parse(JSON.stringify(evaluate(pieces[0].expression, question), replacer));
  return pieces.map((piece) => piece.text ?? evaluate(piece.expression, question).coerceString()).join('');
}

function answer(question) {
  try {
    const value = 'condition' in question ? truthy(evaluate(question.condition, question)) : fill(question.fill, question);
    return { value };
  } catch (error) {
    return { error: String(error) };
  }
}

const workflow = await read(process.argv[2]);
console.log(JSON.stringify(workflow));
if (!workflow.errors.length) for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(answer(JSON.parse(line))));
