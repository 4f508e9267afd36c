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
