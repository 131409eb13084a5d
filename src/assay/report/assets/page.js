"use strict";
// The page works without this: it adds keys, the names of columns at a click, and a way to stop.
const form = document.getElementById("query-form");
if (form) {
  const field = document.getElementById("query");
  const busy = document.getElementById("busy");
  const run = document.getElementById("run");
  const idle = () => { busy.hidden = true; run.disabled = false; };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!run.disabled) form.requestSubmit(run);
    }
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter && event.submitter.id === "csv") return;
    busy.hidden = false;
    // Not at once: a button that is off is no part of what is sent. The query may have been stopped before that.
    setTimeout(() => { run.disabled = !busy.hidden; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !busy.hidden) {
      window.stop();
      idle();
    }
  });
  window.addEventListener("pageshow", idle);
  for (const button of document.querySelectorAll("[data-insert]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.insert;
      const plain = /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
      field.setRangeText(plain, field.selectionStart, field.selectionEnd, "end");
      field.focus();
    });
  }
}
