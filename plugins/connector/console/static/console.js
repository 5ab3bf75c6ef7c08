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
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, cache: "no-store" });
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

// visible shows what would be hidden, or would turn the text around, as its number.
function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) =>
    c === "\n" || c === "\t" || c === "\u200c" || c === "\u200d" ? c : "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
}
