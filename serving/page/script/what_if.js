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
