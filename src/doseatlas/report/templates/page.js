"use strict";
// The page reads whole without this: it only adds a filter, buttons that open and close, and printing all of it.
for (const element of document.querySelectorAll(".filter, .buttons")) element.hidden = false;

const find = document.getElementById("find");
const verdict = document.getElementById("verdict");
const blocks = [...document.querySelectorAll(".typical .block")];
function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const block of blocks) {
    const text = block.textContent.toLowerCase();
    const verdicts = block.dataset.verdicts.split("|");
    block.hidden = !words.every((word) => text.includes(word)) || (verdict.value && !verdicts.includes(verdict.value));
    shown += !block.hidden;
  }
  document.getElementById("found").textContent = `${shown} of ${blocks.length} procedures`;
}
if (find) {
  find.form.addEventListener("submit", (event) => event.preventDefault());
  find.addEventListener("input", filter);
  verdict.addEventListener("input", filter);
}

for (const button of document.querySelectorAll("button[data-open], button[data-close]")) {
  button.addEventListener("click", () => {
    const section = document.getElementById(button.dataset.open || button.dataset.close);
    for (const details of section.querySelectorAll("details")) details.open = "open" in button.dataset;
  });
}

function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  const details = target && target.closest("details");
  if (details) {
    details.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
reveal();

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
