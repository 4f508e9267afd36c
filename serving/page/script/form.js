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
