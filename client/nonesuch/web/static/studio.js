// The studio: controls on one side, what they make on the other; the address holds their state.

import { address, json, notice, Refused, waiting } from "./api.js";
import { build, label, params, restore } from "./panel.js";
import * as views from "./views.js";

const $ = (id) => document.getElementById(id);
const panel = $("panel");
const tabs = [...document.querySelectorAll("[role=tab]")];
let card = null;
let due = 0;

function refused(error) {
  if (!(error instanceof Refused)) throw error;
  notice(error.message);
}

function asked() {
  return params(panel, card);
}

function shown() {
  return tabs.find((tab) => tab.getAttribute("aria-selected") === "true").getAttribute("aria-controls");
}

/** Draw what is in view, at most once a frame of the screen. */
function draw() {
  cancelAnimationFrame(due);
  due = requestAnimationFrame(() => {
    label(panel);
    const now = asked();
    history.replaceState(null, "", `?${new URLSearchParams([["model", card.name], ...now])}${location.hash}`);
    $("one").href = `./?${new URLSearchParams([["model", card.name], ...now])}`;
    save(now);
    if (!now.get("seed")) return; // while it is typed
    if (shown() === "picture") views.picture(card, now).catch(refused);
    if (shown() === "matrix") views.matrix(card, without(now, "mix_seed", "mix_layers")).catch(refused);
  });
}

function without(all, ...names) {
  return new URLSearchParams([...all].filter(([name]) => !names.includes(name)));
}

function file(now) {
  return new URLSearchParams([...now, ["format", $("format").value]]);
}

function save(now) {
  $("download").href = address(card.name, file(now));
  $("download").download = `${card.name}-${now.get("seed")}.${$("format").value.replace("jpeg", "jpg")}`;
  $("code").hidden = true;
  $("copied").textContent = "";
}

function select(tab) {
  for (const each of tabs) {
    each.setAttribute("aria-selected", each === tab);
    each.tabIndex = each === tab ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = each !== tab;
  }
  // What is not in view is drawn when it is again; a film, which was asked for by a button, goes on.
  if (shown() !== "picture") views.picture.stop();
  if (shown() !== "matrix") views.matrix.stop();
  draw();
}

function step(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const there = tabs.filter((tab) => !tab.hidden);
  if (!by) return;
  const next = there[(there.indexOf(event.target) + by + there.length) % there.length];
  next.focus();
  select(next);
}

function fit() {
  $("tab-matrix").hidden = !card.controls.includes("mix");
  $("taken").replaceChildren(...[...Object.keys(card.layer_groups), "all"].map((name) => new Option(name)));
  for (const option of $("reel").elements.through.options) option.hidden = option.value !== "z" && !card.w_dim;
  $("format").options[0].hidden = card.channels === 4;
  $("format").value = card.channels === 4 ? "png" : "jpeg";
  document.title = `Studio: ${card.name}`;
}

async function open(name, settings) {
  views.noFilm();
  card = await views.card(name);
  build(panel, card);
  fit();
  restore(panel, settings);
  select(tabs[0]);
}

async function start() {
  const settings = new URLSearchParams(location.search);
  const { models } = await json("v1/models", { waiting });
  if (!models.length) return notice("The server has no model that is ready.", "Load one, and reload this page.");
  $("model").replaceChildren(...models.map(({ name }) => new Option(name)));
  const wanted = models.some(({ name }) => name === settings.get("model")) ? settings.get("model") : models[0].name;
  $("model").value = wanted;
  settings.delete("model");
  await open(wanted, settings);
}

panel.addEventListener("input", draw);
panel.addEventListener("reset", () => setTimeout(draw));
panel.addEventListener("submit", (event) => event.preventDefault());
$("model").addEventListener("change", () => open($("model").value, new URLSearchParams([["seed", panel.elements.seed.value]])).catch(refused));
$("format").addEventListener("change", () => save(asked()));
$("matrix").addEventListener("input", draw);
$("matrix").addEventListener("submit", (event) => event.preventDefault());
$("reel").addEventListener("submit", (event) => {
  event.preventDefault();
  views.film(card, asked()).catch(refused);
});
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => views.copy(card, file(asked()), button.dataset.language).catch(refused));
}
for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", step);
}
start().catch(refused);
