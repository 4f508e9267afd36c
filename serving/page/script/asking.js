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
  return { said, text, unseen: answer.headers.get("X-Unseen-Categories"), version: answer.headers.get("X-Model-Version") };
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
