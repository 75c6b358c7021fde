// Shows /openapi.json and tries its calls. Everything is built as nodes: no text of the
// description or of an answer is ever read as markup.

const METHODS = ["get", "post", "patch", "delete"];

function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

// ---- reading the description

class Description {
  constructor(document) {
    this.document = document;
  }

  resolve(schema) {
    if (!schema.$ref) return schema;
    return schema.$ref.slice(2).split("/").reduce((place, step) => place[step], this.document);
  }

  * operations() {
    for (const [path, verbs] of Object.entries(this.document.paths)) {
      for (const method of METHODS) {
        if (verbs[method]) yield { path, method, ...verbs[method] };
      }
    }
  }

  typeOf(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.allOf) return schema.allOf.map((part) => this.typeOf(part)).join(" and ");
    if (schema.type === "array") return `list of ${this.typeOf(schema.items)}`;
    return schema.format ? `${schema.type} (${schema.format})` : schema.type;
  }

  // The fields of an object, those that are required first.
  fields(schema) {
    const required = new Set(schema.required ?? []);
    return Object.entries(schema.properties ?? {})
      .map(([name, inner]) => ({ name, inner, required: required.has(name) }))
      .sort((one, other) => other.required - one.required);
  }

  // What a call could send: defaults where there are some, and what is required.
  example(schema) {
    const plain = this.resolve(schema);
    if (plain.default !== undefined) return plain.default;
    if (plain.enum) return plain.enum[0];
    if (plain.type === "array") return [];
    if (plain.type === "integer") return plain.minimum ?? 0;
    if (plain.type === "boolean") return false;
    if (plain.type !== "object") return "";
    const made = {};
    for (const { name, inner } of this.fields(plain)) {
      if (inner.writeOnly || inner.nullable) continue;
      made[name] = this.example(inner);
    }
    return made;
  }

  bodyExample(operation) {
    const schema = this.resolve(operation.requestBody.content["application/json"].schema);
    return JSON.stringify(operation.method === "patch" ? {} : this.example(schema), null, 2);
  }
}

// ---- showing it

function remarks(schema) {
  const said = [];
  if (schema.description) said.push(schema.description);
  if (schema.enum) said.push(`one of ${schema.enum.join(", ")}`);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.minimum !== undefined) said.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`at most ${schema.maximum}`);
  if (schema.minLength !== undefined) said.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.maxItems !== undefined) said.push(`at most ${schema.maxItems} items`);
  if (schema.readOnly) said.push("read-only");
  if (schema.writeOnly) said.push("never answered");
  if (schema["x-null-clears"]) said.push("null clears");
  return said.join("; ");
}

function rowsOf(description, schema, depth = 0) {
  return description.fields(description.resolve(schema)).flatMap(({ name, inner, required }) => {
    const row = node("tr", {},
      node("td", { class: `name depth-${depth}` }, name, " ",
        required ? node("span", { class: "required" }, "required") : ""),
      node("td", {}, description.typeOf(inner)),
      node("td", {}, remarks(inner)));
    return [row, ...(inner.properties ? rowsOf(description, inner, depth + 1) : [])];
  });
}

function table(headings, rows, caption) {
  const head = node("tr", {}, ...headings.map((text) => node("th", { scope: "col" }, text)));
  return node("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    node("table", {}, node("thead", {}, head), node("tbody", {}, ...rows)));
}

function fieldTable(description, schema, caption) {
  return table(["Field", "Type", "Meaning"], rowsOf(description, schema), caption);
}

function parameterTable(description, operation) {
  const rows = operation.parameters.map((parameter) => node("tr", {},
    node("td", { class: "name" }, parameter.name, " ",
      parameter.required ? node("span", { class: "required" }, "required") : ""),
    node("td", {}, parameter.in),
    node("td", {}, description.typeOf(parameter.schema)),
    node("td", {}, remarks({ ...parameter.schema, description: parameter.description }))));
  return table(["Parameter", "In", "Type", "Meaning"], rows, `Parameters of ${operation.operationId}`);
}

function answerTable(description, operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => node("tr", {},
    node("td", { class: "name" }, status),
    node("td", {}, description.resolve(answer).description)));
  return table(["Status", "When"], rows, `Answers of ${operation.operationId}`);
}

function showOperation(description, operation) {
  const inside = node("div", { class: "inside" });
  if (operation.parameters) {
    inside.append(node("h4", {}, "Parameters"), parameterTable(description, operation));
  }
  if (operation.requestBody) {
    const schema = operation.requestBody.content["application/json"].schema;
    inside.append(node("h4", {}, "Body"),
      fieldTable(description, schema, `Body of ${operation.operationId}`));
  }
  inside.append(node("h4", {}, "Answers"), answerTable(description, operation));
  inside.append(tryForm(description, operation));
  return node("details", { class: "item", id: operation.operationId },
    node("summary", {},
      node("span", { class: `verb ${operation.method}` }, operation.method.toUpperCase()),
      node("h3", {}, operation.path),
      node("span", { class: "about" }, operation.summary),
      operation["x-extension"] ? node("span", { class: "tag" }, "extension") : ""),
    inside);
}

function showSchema(description, name, schema) {
  return node("details", { class: "item", id: `schema-${name}` },
    node("summary", {}, node("h3", {}, name)),
    node("div", { class: "inside" }, fieldTable(description, schema, `Fields of ${name}`)));
}

function contents(description) {
  const operations = [...description.operations()].map((operation) =>
    node("li", {}, node("a", { href: `#${operation.operationId}` }, operation.operationId)));
  const schemas = Object.keys(description.document.components.schemas).map((name) =>
    node("li", {}, node("a", { href: `#schema-${name}` }, name)));
  return [node("h2", {}, "Operations"), node("ul", {}, ...operations),
    node("h2", {}, "Schemas"), node("ul", {}, ...schemas)];
}

// ---- trying a call

function input(parameter, id) {
  const choices = parameter.schema.enum
    ?? (parameter.schema.type === "boolean" ? ["true", "false"] : null);
  if (choices) {
    const options = ["", ...choices].map((value) => node("option", { value }, value || "(any)"));
    return node("select", { id, name: parameter.name }, ...options);
  }
  const placeholder = parameter.schema.default ?? (parameter.schema.type === "array" ? "a,b" : "");
  return node("input", {
    id, name: parameter.name, placeholder, required: parameter.required, autocomplete: "off",
  });
}

function tryForm(description, operation) {
  const fields = (operation.parameters ?? []).map((parameter) => {
    const id = `${operation.operationId}-${parameter.name}`;
    return node("div", { class: "field" },
      node("label", { for: id }, parameter.name), input(parameter, id));
  });
  const form = node("form", { class: "try", "aria-label": `Try ${operation.operationId}` },
    node("h4", {}, "Try it"), node("div", { class: "fields" }, ...fields));
  if (operation.requestBody) {
    const id = `${operation.operationId}-body`;
    const area = node("textarea", { id, name: "body", spellcheck: "false" });
    area.value = description.bodyExample(operation);
    form.append(node("div", { class: "field" }, node("label", { for: id }, "Body (JSON)"), area));
  }
  const send = node("button", { class: "send", type: "submit" }, "Send");
  const answer = node("div", { class: "answer", "aria-live": "polite" });
  form.append(send, answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    answer.replaceChildren(...(await call(operation, form)));
    send.disabled = false;
  });
  return form;
}

function requestOf(operation, form) {
  const query = new URLSearchParams();
  const headers = new Headers();
  let path = operation.path;
  for (const parameter of operation.parameters ?? []) {
    const value = form.elements.namedItem(parameter.name).value;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (parameter.in === "query") query.append(parameter.name, value);
    else headers.set(parameter.name, value);
  }
  const key = document.getElementById("key").value.trim();
  if (key) headers.set("Authorization", `Bearer ${key}`);
  const options = { method: operation.method.toUpperCase(), headers, cache: "no-store", credentials: "omit" };
  if (operation.requestBody) {
    headers.set("Content-Type", "application/json");
    options.body = form.elements.namedItem("body").value;
  }
  const search = query.size ? `?${query}` : "";
  return [path.slice(1) + search, options];
}

async function call(operation, form) {
  try {
    const [target, options] = requestOf(operation, form);
    const started = performance.now();
    const response = await fetch(target, options);
    const text = await response.text();
    const took = Math.round(performance.now() - started);
    const told = ["ETag", "Retry-After", "Allow", "WWW-Authenticate"]
      .filter((name) => response.headers.has(name))
      .map((name) => `${name}: ${response.headers.get(name)}`);
    return [
      node("p", { class: `status ${response.ok ? "good" : "bad"}` },
        `${response.status} ${response.statusText}, ${took} ms`),
      told.length ? node("pre", {}, told.join("\n")) : "",
      node("pre", { tabindex: "0", "aria-label": "Answer" }, pretty(text)),
    ];
  } catch (error) {
    return [node("p", { class: "status bad" }, `The call could not be made: ${error.message}`)];
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// ---- the page

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}

function show(description) {
  const { info, components } = description.document;
  document.getElementById("title").textContent = info.title;
  document.getElementById("description").textContent = info.description;
  document.getElementById("contents").replaceChildren(...contents(description));
  const operations = document.getElementById("operations");
  for (const operation of description.operations()) {
    operations.append(showOperation(description, operation));
  }
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(components.schemas)) {
    schemas.append(showSchema(description, name, schema));
  }
  operations.hidden = schemas.hidden = false;
  document.getElementById("loading").remove();
  openTarget();
}

function toggleKey(event) {
  const key = document.getElementById("key");
  const shown = key.type === "text";
  key.type = shown ? "password" : "text";
  event.target.setAttribute("aria-pressed", String(!shown));
  event.target.textContent = shown ? "Show" : "Hide";
}

async function start() {
  document.getElementById("show-key").addEventListener("click", toggleKey);
  document.getElementById("key-form").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", openTarget);
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`status ${response.status}`);
    show(new Description(await response.json()));
  } catch (error) {
    document.getElementById("loading").textContent =
      `The description could not be loaded: ${error.message}`;
  }
}

start();
