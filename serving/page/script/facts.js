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
    facts.push(...standing(found.standing || {}));
    if (said.capture) facts.push(["Predictions are kept", said.capture.on ? "yes; not those of this page" : `no: ${said.capture.reason}`]);
  } catch { /* a key that may predict need not know it */ }
  showRate();
  clear($("facts")).append(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

/** How the version was judged, what its monitor says, and the last entries of the ledger: what the registry knows. */
function standing({ judged, monitor, entries }) {
  const facts = [], at = (when) => String(when).slice(0, 16).replace("T", " ");
  if (judged?.rmse !== undefined) {
    const ends = judged.low === undefined ? "" : ` [${shown(judged.low, 4)}, ${shown(judged.high, 4)}]`;
    facts.push(["Typical error (RMSE)", `${withUnit(shown(judged.rmse, 4) + ends, model.target.unit)} on ${shown(judged.rows)} rows held out`]);
  }
  if (judged?.coverage_90 !== undefined) facts.push(["Intervals of 90\u00a0%", `held ${percent(judged.coverage_90)} of those rows`]);
  if (monitor) facts.push(["Monitor", `${monitor.alarms || "no alarm stands"} (version ${monitor.version || "unknown"}, ${at(monitor.when)})`]);
  if (entries?.length) {
    facts.push(["Ledger, newest first", make("ul", {}, ...entries.map(({ when, kind, to, reason }) => make("li", {}, `${at(when)}: ${kind}, version ${to}: ${reason}`)))]);
  }
  return facts;
}

// Requests a second, counted between two looks, as long as somebody looks

let counted = null;

async function showRate() {
  clearTimeout(showRate.timer);
  if (!$("about").open || document.hidden) { counted = null; return put($("rate"), ""); }
  try {
    const { text } = await ask(`${place}metrics`), now = { at: performance.now(), answers: 0 };
    for (const [, answers] of text.matchAll(/^slipway_requests_total\{.*\} (\S+)$/gm)) now.answers += Number(answers);
    if (counted && now.at > counted.at) put($("rate"), `${shown((1000 * Math.max(0, now.answers - counted.answers)) / (now.at - counted.at), 3)} requests a second now, ${shown(now.answers)} since the start.`);
    counted = now;
    showRate.timer = setTimeout(showRate, 2000);
  } catch { put($("rate"), ""); }
}
