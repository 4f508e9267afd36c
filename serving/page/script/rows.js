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
