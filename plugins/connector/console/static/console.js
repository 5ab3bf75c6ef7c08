"use strict";
// The pages work without this script. It keeps them up to date, judges a definition as
// one types, and shows messages as they get through. It writes text, never markup of
// its own making: a part of a page that is put in was escaped by the server.

const live = document.getElementById("live");
if (live) {
  live.checked = localStorage.getItem("live") !== "off";
  live.addEventListener("change", () => localStorage.setItem("live", live.checked ? "on" : "off"));
}

// Parts with data-refresh are asked for again, each so many seconds. What is asked for
// does not keep a session alive.
for (const part of document.querySelectorAll("[data-refresh]")) {
  const refresh = async () => {
    try {
      const selecting = part.contains(getSelection().anchorNode) && !getSelection().isCollapsed;
      if (document.hidden || !live.checked || selecting) return;
      const answer = await fetch(location.href, { headers: { "X-Refresh": part.dataset.part || "live" }, cache: "no-store" });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) { part.classList.add("stale"); return; }
      const text = await answer.text();
      const focused = document.activeElement?.dataset?.key;
      const had = part.contains(document.activeElement);
      const scrolled = part.querySelector(".log")?.scrollTop;
      part.innerHTML = text;
      part.classList.remove("stale");
      if (had && focused) {
        for (const one of part.querySelectorAll("[data-key]")) if (one.dataset.key === focused) one.focus({ preventScroll: true });
      }
      if (scrolled) part.querySelector(".log")?.scrollTo(0, scrolled);
    } catch {
      part.classList.add("stale"); // the service is away; the next time may work
    } finally {
      setTimeout(refresh, part.dataset.refresh * 1000);
    }
  };
  setTimeout(refresh, part.dataset.refresh * 1000);
}

// A definition is judged a moment after the last key.
const edit = document.getElementById("edit");
if (edit) {
  const judged = document.getElementById("judged");
  const touched = new Set();
  let timer, asked = 0;
  const list = (id, texts) => {
    const items = texts.map((text) => { const li = document.createElement("li"); li.textContent = visible(text); return li; });
    const into = document.getElementById(id);
    into.replaceChildren(...items);
    into.classList.toggle("none", items.length === 0);
  };
  const judge = async () => {
    const mine = ++asked;
    const body = new URLSearchParams(new FormData(edit));
    let found;
    try {
      const answer = await fetch(edit.dataset.validate, { method: "POST", body });
      if (!answer.ok) { judged.textContent = (await answer.text()).slice(0, 300); return; }
      found = await answer.json();
    } catch {
      judged.textContent = "The service does not answer.";
      return;
    }
    if (mine !== asked) return; // a newer one is under way
    let wrong = (found.errors || []).length;
    for (const field of edit.querySelectorAll("[data-field]")) {
      const name = field.dataset.field;
      let text = found.fields[name] || "";
      if (text) wrong++;
      if (text === "must be given" && !touched.has(name)) text = ""; // nobody has come to it yet
      field.classList.toggle("wrong", text !== "");
      field.querySelector(".error").textContent = visible(text);
      const input = field.querySelector("input, select, textarea");
      if (text) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    }
    list("errors", touched.size ? found.errors || [] : []);
    list("warnings", found.warnings || []);
    judged.textContent = wrong ? "It cannot be saved yet." : "Nothing is wrong with it.";
  };
  edit.addEventListener("input", (event) => {
    touched.add(event.target.name);
    judged.textContent = "";
    clearTimeout(timer);
    timer = setTimeout(judge, 400);
  });
  document.querySelector(".wrong input, .wrong select, .wrong textarea")?.focus();
}

// Messages as they get through. The newest come first, and the oldest leave the page.
const most = 200;
const tail = document.getElementById("tail");
if (tail) {
  const hold = document.getElementById("hold");
  const says = document.getElementById("tailed");
  let shown = 0, missed = 0, held = false, of = "";
  const say = (text) => { says.textContent = (text || shown + " shown" + (missed ? ", " + missed + " left out" : "") + ".") + of; };
  hold.addEventListener("click", () => {
    held = !held;
    hold.setAttribute("aria-pressed", held);
    hold.textContent = held ? "Go on" : "Hold";
  });
  const add = (tag, name, text, into) => {
    const one = document.createElement(tag);
    if (name) one.className = name;
    one.textContent = visible(text);
    into.append(one, " ");
  };
  const show = (event) => {
    const m = JSON.parse(event.data);
    const where = m.kafka_topic + (m.partition === null ? "" : "/" + m.partition) + (m.offset === null ? "" : "@" + m.offset);
    // After the connection was lost, the last ones come again.
    const record = m.offset === null ? "" : m.time + " " + where;
    if (record && [...tail.children].some((one) => one.dataset.record === record)) return;
    if (held) { missed++; say(); return; }
    const item = document.createElement("li");
    item.className = m.outcome === "sent" ? "" : "error";
    item.dataset.record = record;
    add("span", "dim", m.time, item);
    add("span", "level", m.outcome, item);
    if (m.topic) add("bdi", "", m.topic, item); // a record that a kafka_source has read has none
    if (m.topic) add("span", "dim", "→", item);
    add("bdi", "", where, item);
    add("span", "dim", m.latency_ms.toFixed(1) + " ms, QoS " + m.qos + (m.retain ? ", retained" : ""), item);
    if (m.reason) add("span", "", m.reason, item);
    for (const [name, part] of [["payload", m.payload], ["key", m.key], ["value", m.value]]) {
      if (!part) continue;
      const line = document.createElement("div");
      add("span", "dim", name, line);
      add("span", "", (part.text ?? part.base64 ?? "") + (part.cut ? "…" : ""), line);
      add("span", "dim", part.size + " bytes" + (part.base64 === undefined ? "" : ", base64"), line);
      item.append(line);
    }
    tail.prepend(item);
    while (tail.children.length > most) tail.lastChild.remove();
    shown++;
    say();
  };
  // A worker that ends leaves its connectors to others, which takes some seconds. What is
  // asked for here keeps a session alive, so it is not tried for ever.
  let tries = 0;
  const again = (text) => {
    of = "";
    tries++;
    say(text + (tries > 12 ? " The session may have ended. Load the page again." : " It is tried again."));
    if (tries <= 12) setTimeout(open, 5000);
  };
  const open = () => {
    const stream = new EventSource(tail.dataset.stream);
    stream.addEventListener("open", () => { tries = 0; of = ""; say(shown ? "" : "Waiting for messages."); });
    stream.addEventListener("message", show);
    stream.addEventListener("members", (event) => {
      const members = JSON.parse(event.data);
      of = members.shown === members.all ? "" : " They are of " + members.shown + " of " + members.all + " members. Not shown: " +
        members.missing.map((one) => (one.members.length > 1 ? "members " : "member ") + one.members.join(", ") + (one.worker ? " on " + visible(one.worker) : "") + " (" + visible(one.reason) + ")").join("; ") + ".";
      say();
    });
    for (const name of ["left_out", "dropped"]) {
      stream.addEventListener(name, (event) => { missed += JSON.parse(event.data).count; say(); });
    }
    stream.addEventListener("end", (event) => {
      stream.close();
      const end = JSON.parse(event.data), text = "It has ended: " + visible(end.reason) + ".";
      if (end.again) again(text); else say(text);
    });
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) again("The service does not show them at the moment.");
      else say("The connection is lost; it is tried again.");
    });
  };
  open();
}

// The next live message becomes the sample of a preview.
document.getElementById("take")?.addEventListener("click", (event) => {
  const says = document.getElementById("taken");
  says.textContent = "Waiting for a message.";
  const stream = new EventSource(event.target.dataset.stream);
  stream.addEventListener("message", (message) => {
    stream.close();
    const m = JSON.parse(message.data);
    if (m.payload && m.payload.text === undefined) { says.textContent = "The message is no text."; return; }
    document.getElementById("sample-topic").value = m.topic;
    document.getElementById("sample-payload").value = m.payload?.text ?? "";
    says.textContent = "It is from " + visible(m.topic) + (m.payload?.cut ? ", and cut." : ".");
  });
  for (const name of ["end", "error"]) stream.addEventListener(name, () => { stream.close(); says.textContent = "There is no stream of messages."; });
});

// visible shows what would be hidden, or would turn the text around, as its number.
function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) =>
    c === "\n" || c === "\t" || c === "\u200c" || c === "\u200d" ? c : "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
}
