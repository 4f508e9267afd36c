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
