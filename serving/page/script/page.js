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
$("about").addEventListener("toggle", () => { if ($("about").open && model) showFacts(); else showRate(); });
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
