"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// Light and dark
function turnTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch (error) { /* a file's page may keep nothing */ }
  nameTheme();
}

function nameTheme() {
  $("#theme").textContent = document.documentElement.dataset.theme === "dark" ? "Light" : "Dark";
}

// Equations and their lines: pointing at one marks the other
function mark(numbers) {
  for (const element of $$("[data-eq]")) {
    element.classList.toggle("marked", element.dataset.eq.split(" ").some(n => numbers.includes(n)));
  }
}

function watchEquations() {
  if (!$(".equations")) return;
  const of = target => target.closest("[data-eq]")?.dataset.eq.split(" ");
  let pinned = [];
  for (const kind of ["pointerover", "focusin"]) {
    $("#main").addEventListener(kind, event => mark(of(event.target) || pinned));
  }
  $("#main").addEventListener("click", event => {
    const equation = event.target.closest(".equations [data-eq]");
    if (equation && !event.target.closest("a")) {
      pinned = pinned[0] === equation.dataset.eq ? [] : [equation.dataset.eq];
      mark(pinned);
    }
  });
  const first = location.hash.match(/^#eq-(\d+)$/);
  if (first) mark(pinned = [first[1]]);
}

// Tabs
function choose(tab) {
  for (const other of $$('[role="tab"]', tab.parentElement)) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

function watchTabs() {
  for (const list of $$('[role="tablist"]')) {
    const tabs = $$('[role="tab"]', list);
    list.addEventListener("click", event => event.target.matches('[role="tab"]') && choose(event.target));
    list.addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  }
}

// Search
function found(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const score = ([kind, name, text]) => {
    const title = name.toLowerCase(), all = `${kind} ${title} ${text.toLowerCase()}`;
    if (!words.every(word => all.includes(word))) return 0;
    return 1 + words.filter(w => title.includes(w)).length * 4 + (title === query.trim().toLowerCase()) * 20
      + words.filter(w => title.split(/[ _]/).includes(w)).length * 4;
  };
  return words.length ? window.SEARCH.map(entry => [score(entry), entry]).filter(([s]) => s)
    .sort((a, b) => b[0] - a[0]).slice(0, 20).map(([, entry]) => entry) : [];
}

function watchSearch() {
  const dialog = $("#search"), input = $("#query"), list = $("#found");
  let at = 0;
  const show = () => {
    const links = $$("a", list);
    links.forEach((link, i) => link.setAttribute("aria-selected", i === at));
    input.setAttribute("aria-activedescendant", links[at]?.id || "");
    links[at]?.scrollIntoView({block: "nearest"});
  };
  input.addEventListener("input", () => {
    at = 0;
    list.replaceChildren(...found(input.value).map(([kind, name, text, where], i) => {
      const link = document.createElement("a");
      Object.assign(link, {href: where, id: `found-${i}`, tabIndex: -1});
      link.setAttribute("role", "option");
      const strong = document.createElement("strong"), span = document.createElement("span");
      strong.textContent = name;
      span.textContent = `${kind}  ${text}`;
      link.append(strong, span);
      return link;
    }));
    show();
  });
  input.addEventListener("keydown", event => {
    const count = list.children.length, step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step && count) {
      at = (at + step + count) % count;
      show();
      event.preventDefault();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (count) list.children[at].click();
    }
  });
  list.addEventListener("click", () => dialog.close());
  $("#find").addEventListener("click", openSearch);
}

function openSearch() {
  $("#search").showModal();
  $("#query").select();
}

// Keys: not while somebody types, not with a modifier
function step(by) {
  const turn = $(`a[rel="${by > 0 ? "next" : "prev"}"]`);
  if (turn) return turn.click();
  const items = $$("section.item"), top = 80;
  const places = items.map(item => item.getBoundingClientRect().top);
  const i = by > 0 ? places.findIndex(y => y > top + 2) : places.findLastIndex(y => y < top - 2);
  if (i >= 0) items[i].scrollIntoView();
}

function watchKeys() {
  const keys = {"/": openSearch, d: turnTheme, n: () => step(1), p: () => step(-1)};
  document.addEventListener("keydown", event => {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}

// Formulas that are wider than their place can be scrolled by keys
function watchFormulas() {
  const look = () => $$(".display").forEach(formula => {
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  });
  addEventListener("resize", look);
  document.fonts.ready.then(look);
}

// Print: all that is folded opens, and closes again
function watchPrint() {
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = $$("details:not([open])", $("#main"));
    closed.forEach(part => part.open = true);
  });
  addEventListener("afterprint", () => closed.forEach(part => part.open = false));
}

nameTheme();
$("#theme").addEventListener("click", turnTheme);
watchEquations();
watchTabs();
watchSearch();
watchKeys();
watchPrint();
watchFormulas();
