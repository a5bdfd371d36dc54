// Before the first paint: the theme that the reader chose, else the one that the system asks for.
(function () {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch (error) { /* a file's page may keep nothing */ }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
