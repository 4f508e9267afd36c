// The page of one server: a form made from the model's columns, and what the model says of a row.
//
// Every text of a model's, a user's or the server's goes through textContent: a column may be called anything.
// Numbers travel as they were written, so that no digit is lost on the way; whether a value can be used is the
// server's to say. What is asked here is kept in no capture (X-Capture: no): it is no traffic.

const POINTS = 64;
const CHOICES = 200;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

const $ = (id) => document.getElementById(id);
const clear = (node) => { node.replaceChildren(); return node; };
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };

/** Make an element: properties, attributes where the name has a dash or is listed, children as nodes or texts. */
function make(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in node && !name.includes("-")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function draw(tag, given = {}, text = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

// Numbers and dates in words

const figures = new Map();
function shown(value, digits = 6) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "none";
  if (value !== 0 && (Math.abs(value) >= 1e15 || Math.abs(value) < 1e-4)) return value.toPrecision(3);
  if (!figures.has(digits)) figures.set(digits, new Intl.NumberFormat("en", { maximumSignificantDigits: digits }));
  return figures.get(digits).format(value);
}
const signed = (value) => (value < 0 ? "−" : "+") + shown(Math.abs(value), 3);
const percent = (share) => `${Math.round(share * 1000) / 10}\u00a0%`;
const withUnit = (text, unit) => (unit ? `${text} ${unit}` : text);

function moment(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "";
  const text = date.toISOString().replace(/\.\d+Z$/, "");
  return text.endsWith("T00:00:00") ? text.slice(0, -9) : text;
}
const seconds = (text) => Date.parse(/[T ]/.test(text) ? text.replace(" ", "T").replace(/(?<!Z|[+-]\d\d(:?\d\d)?)$/, "Z") : text) / 1000;

// What is asked of the server

let apiKey = "";

class Refused extends Error {
  constructor(status, said) {
    super(said.message || said.error || `The server answered ${status}`);
    this.status = status;
    this.faults = said.errors || [];
    this.count = said.error_count || this.faults.length;
  }
}

async function ask(path, body, type = "application/json") {
  const headers = { Accept: "application/json" };
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
  if (body !== undefined) Object.assign(headers, { "Content-Type": type, "X-Capture": "no" });
  let answer;
  try {
    answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body, cache: "no-store", redirect: "error" });
  } catch {
    throw new Refused(0, { message: "The server does not answer. Is it still there?" });
  }
  const text = await answer.text();
  let said = {};
  try { said = JSON.parse(text); } catch { said = { message: answer.ok ? "" : text.slice(0, 300) }; }
  if (!answer.ok) throw new Refused(answer.status, said);
  return { said, unseen: answer.headers.get("X-Unseen-Categories"), version: answer.headers.get("X-Model-Version") };
}

// One value, as JSON has it

function literal(column, text) {
  const bare = text.trim();
  if (column.kind === "category" || column.kind === "text") return text === "" ? "null" : JSON.stringify(text);
  if (bare === "") return "null";
  if (column.kind === "number" && NUMBER.test(bare) && Number.isFinite(Number(bare))) return bare;
  if (column.kind === "boolean" && (bare === "true" || bare === "false")) return bare;
  if (column.kind === "json") {
    try { JSON.parse(bare); return bare; } catch { /* as text, and the server says what is wrong */ }
  }
  return JSON.stringify(bare);
}

const written = (column, value) =>
  value === null || value === undefined ? "" : column.kind === "json" ? JSON.stringify(value) : String(value);

// The model at hand

let place = "";            // where its paths begin
let model = null;          // what /model.json says
let fields = [];           // one for each column: { column, input, fault, odd, hint }
let turn = 0;              // of the last question: older answers are dropped
let example = 0;
let last = null;           // { texts, prediction, lower, upper, said }
let kept = null;
let curve = null;          // { field, values, predictions, lower, upper }
let canExplain = false;

const texts = () => fields.map((field) => field.input.value);
const coverage = () => Number($("coverage").value);

function row(values, gap = " ") {
  if (!model.columns.length) return "";
  return `{${model.columns.map((column, at) => `${JSON.stringify(column.name)}:${gap}${literal(column, values[at])}`).join(`,${gap}`)}}`;
}

function body(values) {
  if (!model.columns.length) return $("raw").value;
  const asked = model.intervals ? `, "params": {"coverage": ${coverage()}}` : "";
  return `{"dataframe_records": [${row(values)}]${asked}}`;
}

function columnwise(rows) {
  const names = model.columns.map((column) => JSON.stringify(column.name)).join(",");
  const asked = model.intervals ? `,"params":{"coverage":${coverage()}}` : "";
  return `{"dataframe_split":{"columns":[${names}],"data":[${rows.join(",")}]}${asked}}`;
}

// The form

function makeFields() {
  const parent = clear($("fields"));
  fields = model.columns.map((column, at) => {
    const id = `f${at}`;
    const field = { column, at, input: makeInput(column, id), fault: make("p", { className: "fault", id: `${id}-fault` }), odd: make("p", { className: "odd", id: `${id}-odd` }) };
    const label = make("label", { htmlFor: id }, column.name);
    if (column.unit) label.append(" ", make("span", { className: "unit" }, column.unit));
    const hint = make("p", { className: "hint", id: `${id}-hint` }, inWords(column));
    field.input.setAttribute("aria-describedby", `${id}-fault ${id}-odd ${id}-hint`);
    field.input.addEventListener("change", () => predict());
    field.input.addEventListener("input", () => { stale(); mend(field); });
    const parts = [label, field.input];
    if (column.categories) parts.push(makeChoices(field, id));
    field.box = make("div", { className: "field" }, ...parts, hint, field.odd, field.fault);
    return field;
  });
  parent.append(...fields.map((field) => field.box));
  if (!fields.length) makeRaw(parent);
  $("find-line").hidden = fields.length < 25;
  $("find").value = "";
  $("many").hidden = !fields.length;
  for (const id of ["example", "clear"]) $(id).hidden = !fields.length;
  $("example").hidden ||= model.examples.length < 2;
}

function makeRaw(parent) {
  const input = make("textarea", { id: "raw", rows: 8, spellcheck: false, value: '{"inputs": [[0.0]]}' });
  input.addEventListener("change", () => predict());
  input.addEventListener("input", () => stale());
  parent.append(make("div", { className: "field" }, make("label", { htmlFor: "raw" }, "A request, as JSON"), input,
    make("p", { className: "hint" }, "This model takes no table with named columns: write what it takes, under inputs or instances.")));
}

function makeInput(column, id) {
  if (column.kind === "boolean") {
    return make("select", { id }, ...[["", "no value"], ["true", "true"], ["false", "false"]].map(([value, text]) => make("option", { value }, text)));
  }
  const input = make("input", { id, type: "text", autocomplete: "off", spellcheck: false });
  if (column.kind === "number") input.inputMode = "decimal";
  if (column.kind === "datetime") input.placeholder = "2026-01-31 or 2026-01-31T18:00";
  return input;
}

/** The categories that fit what is written: a list of ten thousand would hold the browser for seconds. */
function makeChoices(field, id) {
  const list = make("datalist", { id: `${id}-list` });
  const fill = () => {
    const typed = field.input.value.toLowerCase(), all = field.column.categories;
    const fits = typed && !all.includes(field.input.value) ? all.filter((each) => each.toLowerCase().includes(typed)) : all;
    clear(list).append(...fits.slice(0, CHOICES).map((each) => make("option", { value: each })));
  };
  field.input.addEventListener("focus", fill);
  field.input.addEventListener("input", fill);
  field.input.setAttribute("list", list.id);
  return list;
}

function inWords(column) {
  const said = [];
  if (column.minimum !== undefined) said.push(column.kind === "datetime" ? `${moment(column.minimum)} to ${moment(column.maximum)}` : `${shown(column.minimum)} to ${shown(column.maximum)}`);
  else if (column.categories) said.push(column.categories.length === 1 ? "1 category" : `${shown(column.categories.length)} categories`);
  else if (column.kind === "json") said.push("JSON");
  else if (column.kind === "number") said.push(column.whole ? "a whole number" : "a number");
  if (column.missing) said.push("may be empty");
  return said.join("; ");
}

function fill(values) {
  values.forEach((text, at) => { fields[at].input.value = text; });
}

function showExample() {
  const shown = model.examples[example % (model.examples.length || 1)] || {};
  fill(model.columns.map((column) => written(column, shown[column.name])));
}

// What is odd about a value

function oddity({ column, input }) {
  const text = input.value;
  if (text.trim() === "") return column.missing || !model.examples.length ? "" : "empty, which no row was in training";
  if (column.whole && NUMBER.test(text.trim()) && !Number.isInteger(Number(text))) return "no whole number: MLflow cuts off what stands behind the point";
  if (column.categories) return column.categories.includes(text) ? "" : `“${text.slice(0, 60)}” was not seen in training: it is scored as unknown`;
  if (column.minimum === undefined) return "";
  const isDate = column.kind === "datetime", value = isDate ? seconds(text) : NUMBER.test(text.trim()) ? Number(text) : NaN;
  const say = (number) => (isDate ? moment(number) : shown(number));
  if (Number.isNaN(value)) return "";
  if (value < column.minimum || value > column.maximum) return `${say(value)} is beyond anything seen in training: ${say(column.minimum)} to ${say(column.maximum)}`;
  return "";
}

function rarity({ column, input }) {
  if (!column.usual || input.value.trim() === "") return "";
  const value = numeric({ column }, input.value), [rare, often] = column.usual;
  const say = (number) => (column.kind === "datetime" ? moment(number).slice(0, 10) : shown(number, 4));
  return value < rare || value > often ? `rare: 98 of 100 rows had ${say(rare)} to ${say(often)}` : "";
}

function showOddities() {
  const list = clear($("unusual"));
  let more = 0;
  for (const field of fields) {
    const said = oddity(field);
    put(field.odd, said || rarity(field));
    if (said && list.childElementCount < 5) list.append(make("li", {}, `${field.column.name}: ${said}`));
    else if (said) more += 1;
  }
  if (more) list.append(make("li", {}, `and ${more} more`));
}

// Faults, beside what caused them

function mend(field) {
  put(field.fault, "");
  field.input.removeAttribute("aria-invalid");
}

function say(text) {
  put($("message"), text);
  $("message").hidden = !text;
}

function complain(error) {
  if (error.status === 401) return askForKey(error);
  const others = [];
  for (const fault of error.faults || []) {
    const field = fields.find((each) => each.column.name === fault.column);
    if (!field) { others.push(`${fault.column}: expected ${fault.expected}, found ${fault.found}`); continue; }
    put(field.fault, `expected ${fault.expected}, found ${fault.found}`);
    field.input.setAttribute("aria-invalid", "true");
    field.box.hidden = false;
  }
  if (!error.faults?.length || others.length) say(others.join("; ") || error.message);
}

// Prediction

const stale = () => $("value").classList.add("stale");

async function predict({ quick = false } = {}) {
  const mine = ++turn, values = texts();
  let answer;
  showOddities();
  showCall(values);
  try {
    answer = await ask(`${place}invocations`, body(values));
  } catch (error) {
    if (mine !== turn) return;
    fields.forEach(mend);
    stale();
    put($("between"), "");
    say("");
    complain(error);
    if (!(error instanceof Refused)) throw error;
    return;
  }
  if (mine !== turn) return;
  fields.forEach(mend);
  say("");
  const { said, version } = answer;
  last = { texts: values, prediction: first(said.predictions), lower: said.intervals?.lower[0], upper: said.intervals?.upper[0] };
  showAnswer();
  showComparison();
  if (version && version !== model.version) open(true);
  if (!quick) await Promise.all([explain(values, mine), pullAnew(mine)]);
}

/** What the first row got: a number, or whatever a model of another kind says. */
function first(predictions) {
  if (Array.isArray(predictions)) return predictions[0];
  if (predictions && typeof predictions === "object") {
    const one = Object.values(predictions).map((each) => (Array.isArray(each) ? each[0] : each));
    return one.length === 1 ? one[0] : predictions;
  }
  return predictions;
}
function bare(prediction) {
  if (Array.isArray(prediction) && prediction.length === 1) return bare(prediction[0]);
  if (prediction && typeof prediction === "object" && !Array.isArray(prediction)) {
    const one = Object.values(prediction);
    if (one.length === 1) return one[0];
  }
  return prediction;
}

function showAnswer() {
  const { unit } = model.target, value = bare(last.prediction);
  const isNumber = typeof value === "number";
  const half = (last.upper - last.lower) / 2, places = half > 0 ? Math.min(12, Math.max(0, Math.ceil(2 - Math.log10(half)))) : null;
  const round = (each) => (places === null || Math.abs(each) >= 1e15 ? shown(each) : new Intl.NumberFormat("en", { minimumFractionDigits: places, maximumFractionDigits: places }).format(each));
  put($("value"), isNumber ? round(value) : value === null ? "no number" : typeof value === "string" ? value : JSON.stringify(value));
  $("value").classList.remove("stale");
  $("value").title = isNumber ? `exactly ${value}` : "";
  put($("unit"), isNumber ? unit : "");
  put($("short"), isNumber ? withUnit($("value").textContent, unit) : "");
  $("interval").hidden = !model.intervals || last.lower === undefined || last.lower === null;
  if ($("interval").hidden) return put($("between"), "");
  const { lower, upper } = last, share = coverage();
  put($("between"), `${withUnit(`${round(lower)} to ${round(upper)}`, unit)} holds the truth for ${percent(share)} of such rows`);
  put($("short"), `${$("short").textContent} (${round(lower)} to ${round(upper)})`);
  put($("coverage-text"), percent(share));
  $("coverage").setAttribute("aria-valuetext", percent(share));
  const table = model.intervals, at = table.coverage.findIndex((each) => each >= share - 1e-9);
  const widest = (upper - lower) * (table.quantile.at(-1) / table.quantile[at] || 1) * 1.04 || 1;
  const left = value - widest / 2, where = (each) => `${(100 * (each - left)) / widest}%`;
  $("band").style.left = where(lower);
  $("band").style.width = `${(100 * (upper - lower)) / widest}%`;
  $("point").style.left = where(value);
  put($("low"), shown(left, 4));
  put($("high"), shown(left + widest, 4));
}

// Reasons

async function explain(values, mine) {
  if (!canExplain || !fields.length) return;
  try {
    const { said } = await ask(`${place}explain`, `{"dataframe_records": [${row(values)}], "params": {"top": 8}}`);
    if (mine === turn) showReasons(said.explanations[0], values);
  } catch (error) {
    if (error.status === 404) canExplain = false;
    if (mine === turn) $("reasons").hidden = true;
  }
}

function showReasons(said, values) {
  $("reasons").hidden = !said?.contributions;
  if ($("reasons").hidden) return;
  const { unit } = model.target;
  const parts = Object.entries(said.contributions).map(([name, share]) => ({ name, share }));
  parts.sort((one, other) => Math.abs(other.share) - Math.abs(one.share));
  if (said.rest !== undefined) parts.push({ name: "all other columns", share: said.rest, isRest: true });
  let at = said.base, low = Math.min(said.base, said.prediction), high = Math.max(said.base, said.prediction);
  for (const part of parts) {
    part.from = at;
    at += part.share;
    low = Math.min(low, at);
    high = Math.max(high, at);
  }
  const width = high - low || 1, where = (value) => (100 * (value - low)) / width;
  const bar = (kind, from, to) => {
    const mark = make("span", { className: kind });
    mark.style.left = `${where(Math.min(from, to))}%`;
    mark.style.width = `${(100 * Math.abs(to - from)) / width}%`;
    return make("span", { className: "bar", "aria-hidden": "true" }, mark);
  };
  const line = (name, small, middle, figure) => make("tr", {}, make("th", { scope: "row" }, name, ...(small ? [make("br"), make("small", {}, small)] : [])),
    make("td", {}, middle), make("td", { className: "number" }, figure));
  const rows = [line("Without knowing the row", "", bar("sum mark", said.base, said.base), shown(said.base, 4))];
  for (const { name, share, from, isRest } of parts) {
    const index = isRest ? -1 : model.columns.findIndex((column) => column.name === name);
    const text = index < 0 ? "" : values[index] === "" ? "empty" : withUnit(values[index].slice(0, 60), model.columns[index].unit);
    rows.push(line(name, text, bar(share < 0 ? "down" : "up", from, from + share), signed(share)));
  }
  rows.push(line("This prediction", "", bar("sum mark", said.prediction, said.prediction), shown(said.prediction, 4)));
  const heads = ["Column", "", unit ? `Adds (${unit})` : "Adds"];
  clear($("reasons-table")).append(make("thead", {}, make("tr", {}, ...heads.map((each, at) => make(each ? "th" : "td", { className: at === 2 ? "number" : "" }, each)))), make("tbody", {}, ...rows));
  put($("reasons-text"), said.exact ? "What each column adds to what is predicted without knowing the row." : "What each column adds to what is predicted without knowing the row; estimated.");
}

// What if

function offerColumns() {
  const select = clear($("pulled"));
  const usable = fields.filter(({ column }) => column.minimum !== undefined || column.categories?.length || column.kind === "boolean");
  select.append(...usable.map(({ column, at }) => make("option", { value: String(at) }, column.name)));
  const wide = usable.find(({ column: { kind, minimum, maximum } }) => kind === "number" && (maximum - minimum > POINTS || !Number.isInteger(maximum)));
  if (wide) select.value = String(wide.at);
  $("what-if").hidden = !usable.length;
}

/** The values that the curve goes through, in the form's words: of the range seen, and today's. */
function valuesFor({ column, input }) {
  const now = input.value;
  if (column.kind === "boolean") return ["true", "false"];
  if (column.categories) {
    const some = column.categories.slice(0, POINTS);
    return some.includes(now) || now === "" ? some : [now, ...some.slice(0, POINTS - 1)];
  }
  const isDate = column.kind === "datetime", today = isDate ? seconds(now) : Number(now.trim() || NaN);
  let [low, high] = column.usual && column.usual[0] < column.usual[1] ? column.usual : [column.minimum, column.maximum];
  if (Number.isFinite(today)) [low, high] = [Math.min(low, today), Math.max(high, today)];
  const isWhole = isDate || [low, high, ...model.examples.map((each) => each[column.name] ?? 0)].every(Number.isInteger);
  const count = isWhole ? Math.min(POINTS, high - low + 1) : POINTS;
  const found = Array.from({ length: Math.max(1, count) }, (_, at) => low + ((high - low) * at) / Math.max(1, count - 1));
  const neat = isWhole ? [...new Set(found.map(Math.round))] : found.map((each) => Number(each.toPrecision(6)));
  return neat.map((each) => (isDate ? moment(each) : String(each)));
}

async function pullAnew(mine = turn) {
  const field = fields[Number($("pulled").value)];
  if (!field || $("what-if").hidden) return;
  const values = valuesFor(field), fixed = texts().map((text, at) => literal(model.columns[at], text));
  const rows = values.map((value) => `[${fixed.map((each, at) => (at === field.at ? literal(field.column, value) : each)).join(",")}]`);
  let said;
  try {
    ({ said } = await ask(`${place}invocations`, columnwise(rows)));
  } catch (error) {
    if (mine === turn) { clear($("curve")).append(make("p", { className: "hint" }, error.message)); $("pull-line").hidden = true; }
    return;
  }
  if (mine !== turn || said.predictions.length !== values.length) return;
  curve = { field, values, predictions: said.predictions, lower: said.intervals?.lower, upper: said.intervals?.upper };
  const isList = Boolean(field.column.categories) || field.column.kind === "boolean";
  (isList ? showChoices : showCurve)();
}

function setPulled(value, from) {
  const { field } = curve;
  if (field.input.value === value) return;
  field.input.value = value;
  mend(field);
  if (from) later(() => predict({ quick: true }));
  else predict();
}

let waiting = 0;
function later(work, milliseconds = 60) {
  clearTimeout(waiting);
  waiting = setTimeout(work, milliseconds);
}

function extent() {
  const all = [...curve.predictions, ...(curve.lower || []), ...(curve.upper || [])].filter(Number.isFinite);
  let low = Infinity, high = -Infinity;
  for (const each of all) { low = Math.min(low, each); high = Math.max(high, each); }
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

function showChoices() {
  const { field, values, predictions, lower, upper } = curve, [low, high] = extent();
  const where = (value) => `${(100 * (value - low)) / (high - low)}%`;
  const hadFocus = $("curve").contains(document.activeElement);
  const order = values.map((_, at) => at).sort((one, other) => (predictions[other] ?? -Infinity) - (predictions[one] ?? -Infinity));
  const lines = order.map((at) => {
    const bar = make("span", { className: "bar", "aria-hidden": "true" });
    if (lower && Number.isFinite(lower[at])) {
      const band = make("span");
      band.style.left = where(lower[at]);
      band.style.width = `${(100 * (upper[at] - lower[at])) / (high - low)}%`;
      bar.append(band);
    }
    if (Number.isFinite(predictions[at])) {
      const mark = make("span", { className: "mark" });
      mark.style.left = where(predictions[at]);
      bar.append(mark);
    }
    const button = make("button", { type: "button", title: values[at].slice(0, 300), "aria-pressed": String(field.input.value === values[at]) },
      make("span", { className: "name" }, values[at].slice(0, 200) || "(empty text)"), bar, make("span", { className: "figure" }, shown(predictions[at], 4)));
    button.addEventListener("click", () => setPulled(values[at]));
    return button;
  });
  const box = make("div", { className: "choices", role: "group", "aria-label": `Predictions by ${field.column.name}` }, ...lines);
  clear($("curve")).append(box);
  const all = field.column.categories?.length || 0;
  if (all > values.length) $("curve").append(make("p", { className: "hint" }, `${values.length} of ${shown(all)} categories`));
  $("pull-line").hidden = true;
  const current = box.querySelector("[aria-pressed=true]");
  if (current) box.scrollTop = current.offsetTop - box.offsetTop - box.clientHeight / 2;
  if (hadFocus) current?.focus({ preventScroll: true });
}

const SHAPE = { height: 250, left: 56, right: 12, top: 12, bottom: 40 };

function numeric(field, text) {
  return field.column.kind === "datetime" ? seconds(text) : Number(text.trim() || NaN);
}

function showCurve() {
  const { field, values, predictions, lower, upper } = curve, { height, left, right, top, bottom } = SHAPE;
  const width = Math.max(260, Math.round($("curve").clientWidth) || 560);
  const xs = values.map((value) => numeric(field, value)), [low, high] = extent();
  const span = xs.at(-1) - xs[0] || 1;
  const x = (value) => left + ((value - xs[0]) / span) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  const isDate = field.column.kind === "datetime", say = (value) => (isDate ? moment(Math.round(value)).slice(0, 10) : shown(value, 4));
  const points = xs.map((each, at) => [x(each), predictions[at]]).filter(([, value]) => Number.isFinite(value)).map(([at, value]) => `${at.toFixed(1)},${y(value).toFixed(1)}`);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": inOneSentence(say) });
  for (const part of [0, 0.5, 1]) {
    const value = low + (high - low) * part;
    svg.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, shown(value, 3)));
    svg.append(draw("text", { x: x(xs[0] + span * part), y: height - bottom + 18, "text-anchor": ["start", "middle", "end"][part * 2] }, say(xs[0] + span * part)));
  }
  svg.append(draw("text", { x: (width + left - right) / 2, y: height - 4, "text-anchor": "middle" }, withUnit(field.column.name.slice(0, 60), field.column.unit && `(${field.column.unit})`)));
  if (lower && lower.every(Number.isFinite)) {
    const ends = [...xs.map((each, at) => [x(each), y(upper[at])]), ...xs.map((each, at) => [x(each), y(lower[at])]).reverse()];
    svg.append(draw("polygon", { class: "area", points: ends.map((each) => each.map((value) => value.toFixed(1)).join(",")).join(" ") }));
  }
  svg.append(draw("polyline", { class: "curve", points: points.join(" ") }));
  curve.marks = [draw("line", { class: "today", y1: top, y2: height - bottom }), draw("circle", { class: "dot", r: 6 })];
  svg.append(...curve.marks);
  Object.assign(curve, { x, y, xs, top, bottom });
  const pick = (event) => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * width;
    const nearest = xs.reduce((best, each, index) => (Math.abs(x(each) - at) < Math.abs(x(xs[best]) - at) ? index : best), 0);
    setPulled(values[nearest], true);
    showToday();
  };
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); pick(event); });
  svg.addEventListener("pointermove", (event) => { if (svg.hasPointerCapture(event.pointerId)) pick(event); });
  svg.addEventListener("pointerup", () => later(() => predict()));
  clear($("curve")).append(svg);
  const pull = $("pull");
  pull.max = String(values.length - 1);
  put($("pull-label"), `${field.column.name}: pull it`);
  $("pull-line").hidden = false;
  showToday();
}

function inOneSentence(say) {
  const { field, values, predictions } = curve, ends = [values[0], values.at(-1)];
  return `The prediction by ${field.column.name}: ${shown(predictions[0], 4)} at ${say(numeric(field, ends[0]))}, ${shown(predictions.at(-1), 4)} at ${say(numeric(field, ends[1]))}`;
}

/** Put the dot where the row is: the nearest point of the curve has its height until the server has said more. */
function showToday() {
  if (!curve?.marks) return;
  const { field, xs, x, y, marks, predictions, values } = curve, now = numeric(field, field.input.value);
  const nearest = xs.reduce((best, each, at) => (Math.abs(each - now) < Math.abs(xs[best] - now) ? at : best), 0);
  const height = predictions[nearest];
  for (const mark of marks) mark.setAttribute("visibility", Number.isFinite(now) && Number.isFinite(height) ? "visible" : "hidden");
  if (!Number.isFinite(now) || !Number.isFinite(height)) return;
  marks[0].setAttribute("x1", x(now));
  marks[0].setAttribute("x2", x(now));
  marks[1].setAttribute("cx", x(now));
  marks[1].setAttribute("cy", y(height));
  $("pull").value = String(nearest);
  $("pull").setAttribute("aria-valuetext", withUnit(values[nearest], field.column.unit));
}

// Two rows

function showComparison() {
  $("compare").hidden = !kept || !last;
  if ($("compare").hidden) return;
  const { unit } = model.target, [before, now] = [bare(kept.prediction), bare(last.prediction)];
  const words = (value) => (typeof value === "number" ? withUnit(shown(value, 5), unit) : JSON.stringify(value));
  const gap = typeof before === "number" && typeof now === "number" ? `, ${signed(now - before)}` : "";
  put($("compare-text"), `${words(before)} there, ${words(now)} here${gap}`);
  const different = fields.filter(({ at }) => kept.texts[at] !== last.texts[at]);
  const line = (cells, tag) => make("tr", {}, ...cells.map((each) => make(tag, {}, each)));
  const rows = different.slice(0, 50).map(({ column, at }) => line([column.name, kept.texts[at] || "empty", last.texts[at] || "empty"], "td"));
  clear($("compare-table"));
  if (rows.length) $("compare-table").append(make("thead", {}, line(["Column", "There", "Here"], "th")), make("tbody", {}, ...rows));
  else $("compare-table").append(make("tbody", {}, line(["Both rows are the same: change a value."], "td")));
}

// Many rows

/** Read a table as spreadsheets write it: quotes, line ends within them, commas, tabs or semicolons. */
function cells(text) {
  const head = text.slice(0, text.search(/[\r\n]|$/));
  const comma = head.includes("\t") ? "\t" : !head.includes(",") && head.includes(";") ? ";" : ",";
  const rows = [];
  let line = [], cell = "", isQuoted = false, begins = true;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (isQuoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; }
      else isQuoted = false;
    } else if (sign === '"' && begins) { isQuoted = true; begins = false; }
    else if (sign === comma) { line.push(cell); cell = ""; begins = true; }
    else if (sign === "\n" || sign === "\r") {
      if (sign === "\r" && text[at + 1] === "\n") at += 1;
      line.push(cell);
      rows.push(line);
      [line, cell, begins] = [[], "", true];
    } else { cell += sign; begins = false; }
  }
  if (cell || line.length || !begins) rows.push([...line, cell]);
  return rows.filter((each) => each.length > 1 || each[0] !== "" || model.columns.length === 1);
}

const quoted = (cell) => (/[",\r\n]/.test(cell) || cell === "" ? `"${cell.replaceAll('"', '""')}"` : cell);
const asCsv = (rows) => rows.map((each) => each.map(quoted).join(",")).join("\n") + "\n";

let scored = null;

async function scoreAll() {
  const rows = cells($("table").value.replace(/^\ufeff/, ""));
  for (const id of ["many-table", "many-faults"]) clear($(id));
  $("many-wide").hidden = $("save").hidden = true;
  if (rows.length < 2) return put($("many-text"), "There are no rows below the names of the columns.");
  put($("many-text"), "…");
  const asked = model.intervals ? `?coverage=${coverage()}` : "";
  try {
    const { said } = await ask(`${place}invocations${asked}`, asCsv(rows), "text/csv");
    const more = said.intervals ? ["prediction", "lower", "upper"] : ["prediction"];
    const figures = [said.predictions, said.intervals?.lower, said.intervals?.upper];
    scored = rows.map((each, at) => [...each, ...more.map((name, column) => (at ? written({}, plainest(figures[column][at - 1])) : name))]);
  } catch (error) {
    const count = error.faults?.length ? `${shown(error.count)} ${error.count === 1 ? "value" : "values"} cannot be used, nothing was predicted` : error.message;
    if (error.status === 401) askForKey(error);
    put($("many-text"), count);
    $("many-faults").append(...(error.faults || []).slice(0, 20).map((fault) =>
      make("li", {}, `${fault.row === null ? "" : `row ${fault.row + 1}, `}${fault.column}: expected ${fault.expected}, found ${fault.found}`)));
    return;
  }
  const count = scored.length - 1;
  put($("many-text"), `${shown(count)} ${count === 1 ? "row" : "rows"} predicted${count > 10 ? "; the first ten:" : ":"}`);
  const added = scored[0].length - rows[0].length;
  const order = (line) => [...line.slice(line.length - added), ...line.slice(0, line.length - added)];
  const line = (each, tag) => make("tr", {}, ...order(each).map((cell, at) => make(tag, { className: at < added ? "number" : "" }, at < added && tag === "td" && NUMBER.test(cell) ? shown(Number(cell)) : cell)));
  $("many-table").append(make("thead", {}, line(scored[0], "th")), make("tbody", {}, ...scored.slice(1, 11).map((each) => line(each, "td"))));
  $("many-wide").hidden = $("save").hidden = false;
}
const plainest = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : value);

function save() {
  const address = URL.createObjectURL(new Blob([asCsv(scored)], { type: "text/csv" }));
  make("a", { href: address, download: "predictions.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function take(file) {
  if (!file) return;
  if (file.size > 20e6) return put($("many-text"), "The file is larger than 20 MB: use python -m serving.batch for that.");
  $("many").open = true;
  $("table").value = await file.text();
  await scoreAll();
}

// The same from a program

let language = "curl";

const python = (text) => text.replace(/"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b/g, (word) => ({ true: "True", false: "False", null: "None" })[word] || word);

function showCall(values = texts()) {
  if (!$("call").open) return;
  const address = new URL(`${place}invocations`, location.href.replace(/[#?].*$/, "")).href, sent = body(values);
  const withKey = apiKey ? { curl: " -H \"Authorization: Bearer $KEY\"", Python: ', "Authorization": f"Bearer {KEY}"', JavaScript: ", Authorization: `Bearer ${KEY}`" }[language] : "";
  const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  put($("code"), {
    curl: `curl ${shell(address)} \\\n  -H 'Content-Type: application/json'${withKey} \\\n  -d ${shell(sent)}`,
    Python: `import json\nimport urllib.request\n\nbody = ${python(sent)}\nrequest = urllib.request.Request(\n    ${JSON.stringify(address)},\n    json.dumps(body).encode(),\n    {"Content-Type": "application/json"${withKey}},\n)\nwith urllib.request.urlopen(request) as answer:\n    print(json.load(answer)["predictions"])`,
    JavaScript: `const answer = await fetch(${JSON.stringify(address)}, {\n  method: "POST",\n  headers: { "Content-Type": "application/json"${withKey} },\n  body: JSON.stringify(${sent}),\n});\nconsole.log((await answer.json()).predictions);`,
  }[language]);
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("code").textContent);
    put($("copied"), "Copied");
  } catch {  // not on https or this machine: the reader copies it
    getSelection().selectAllChildren($("code"));
    put($("copied"), "Marked: copy it with Ctrl-C");
  }
  setTimeout(() => put($("copied"), ""), 4000);
}

// What is served

async function showFacts() {
  const facts = [["Model", model.name], ["Version", model.version], ["In service since", new Date(model.since * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })]];
  if (model.digest) facts.push(["Digest", model.digest]);
  facts.push(["Runs", model.runtime === "pyfunc" ? "by MLflow (--runtime pyfunc)" : "compiled, checked against its pipeline"]);
  if (model.intervals) facts.push(["Intervals", `calibrated; at most ${percent(model.intervals.coverage.at(-1))}`]);
  try {
    const { said } = await ask(`${place}status`);
    const found = Object.values(said.models).find((each) => each.serving.name === model.name || each.serving.version === model.version) || {};
    for (const [name, title] of [["uri", "Asked for"], ["state", "State"], ["reason", "Refused, because"], ["registry", "Registry"], ["ledger", "Ledger"], ["signed", "Signed"]]) {
      if (found[name]) facts.push([title, String(found[name])]);
    }
    if (said.capture) facts.push(["Predictions are kept", said.capture.on ? "yes; not those of this page" : `no: ${said.capture.reason}`]);
  } catch { /* a key that may predict need not know it */ }
  clear($("facts")).append(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

// The page

function askForKey(error) {
  $("entry").hidden = false;
  $("main").hidden = true;
  if (apiKey) say(error.message);
  $("key").focus();
}

async function open(anew = false) {
  const now = anew ? texts() : null, names = anew ? model.columns.map((column) => column.name) : [];
  model = (await ask(`${place}model.json`)).said;
  canExplain = model.explains;
  const { target } = model;
  put($("title"), target.name ? `${model.name || "A model"} predicts ${withUnit(target.name, target.unit && `in ${target.unit}`)}` : model.name || "A model");
  put($("served"), [`version ${model.version}`, model.digest.slice(0, 12), `since ${new Date(model.since * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}`].filter((each, at, all) => each && !(at === 1 && all[0].endsWith(each))).join(" · "));
  document.title = `${model.name || "Model"} · Slipway`;
  if (model.intervals) {
    const range = $("coverage"), most = model.intervals.coverage.at(-1);
    [range.min, range.max] = ["0.5", String(most)];
    range.value = String(Math.min(0.9, most));
    put($("coverage-text"), percent(Number(range.value)));
  }
  [last, curve] = [null, null];
  if (!anew) kept = null;
  $("reasons").hidden = true;
  $("main").hidden = false;
  makeFields();
  showExample();
  if (anew) fields.forEach((field) => { const at = names.indexOf(field.column.name); if (at >= 0) field.input.value = now[at]; });
  if (kept && kept.texts.length !== fields.length) kept = null;
  offerColumns();
  if ($("about").open) showFacts();
  put($("value"), "–");
  for (const id of ["unit", "short"]) put($(id), "");
  $("interval").hidden = true;
  put($("between"), model.examples.length || anew ? "" : "Fill in the row, then predict.");
  if (model.examples.length || anew) await predict();
}

async function start() {
  say("");
  try {
    const { models } = (await ask("page.json")).said;
    $("entry").hidden = true;
    const asked = decodeURIComponent(location.hash.slice(1)), chosen = models.find((each) => each.name === asked) || models[0];
    const nav = clear($("models"));
    nav.hidden = models.length < 2;
    nav.append(...models.map((each) => make("a", { href: `#${encodeURIComponent(each.name)}`, ...(each === chosen ? { "aria-current": "page" } : {}) }, each.name)));
    place = chosen.path;
    await open();
  } catch (error) {
    if (error.status === 401) askForKey(error);
    else say(error.message);
    if (!(error instanceof Refused)) throw error;
  }
}

$("entry").addEventListener("submit", (event) => { event.preventDefault(); apiKey = $("key").value.trim(); $("key").value = ""; start(); });
$("row").addEventListener("submit", (event) => {
  event.preventDefault();
  predict().then(() => { document.querySelector("[aria-invalid=true]")?.focus(); });
});
$("example").addEventListener("click", () => { example += 1; showExample(); predict(); });
$("clear").addEventListener("click", () => { fill(fields.map(() => "")); predict(); });
$("find").addEventListener("input", () => {
  const typed = $("find").value.toLowerCase();
  for (const { box, column } of fields) box.hidden = !column.name.toLowerCase().includes(typed);
});
$("coverage").addEventListener("input", () => later(() => predict({ quick: true })));
$("coverage").addEventListener("change", () => later(() => predict()));
$("keep").addEventListener("click", () => { if (last) { kept = last; showComparison(); } });
$("back").addEventListener("click", () => { fill(kept.texts); predict(); });
$("forget").addEventListener("click", () => { kept = null; showComparison(); $("keep").focus(); });
$("pulled").addEventListener("change", () => pullAnew());
$("pull").addEventListener("input", () => { setPulled(curve.values[Number($("pull").value)], true); showToday(); });
$("pull").addEventListener("change", () => later(() => predict()));
$("score").addEventListener("click", scoreAll);
$("save").addEventListener("click", save);
$("file").addEventListener("change", () => { take($("file").files[0]); $("file").value = ""; });
$("table").addEventListener("paste", () => setTimeout(scoreAll));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("many").addEventListener(kind, (event) => {
    event.preventDefault();
    $("many").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
$("call").addEventListener("toggle", () => showCall());
$("about").addEventListener("toggle", () => { if ($("about").open && model) showFacts(); });
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    language = button.dataset.language;
    for (const each of document.querySelectorAll("[data-language]")) each.setAttribute("aria-pressed", String(each === button));
    showCall();
  });
}
$("copy").addEventListener("click", copy);
addEventListener("hashchange", start);
addEventListener("resize", () => later(() => { if (curve?.marks) showCurve(); }, 200));
start();
