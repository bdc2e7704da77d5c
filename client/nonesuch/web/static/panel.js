// The controls that a model has, made of its card, and the parameters that they stand for.

import { randomSeed } from "./api.js";

const MANY = 200; // classes from which on a menu would be too long
const DIAL = 3; // standard deviations to each side

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function group(title, open, ...children) {
  return make("details", { open }, make("summary", {}, title), ...children);
}

function number(name, label, value, more = {}) {
  const given = value === null ? {} : { value };
  return make("label", {}, `${label} `, make("input", { type: "number", name, step: 1, min: 0, ...given, ...more }));
}

/** A slider with its value beside it; `neutral` is where it stands for nothing. */
function slider(name, label, span, neutral, about = "") {
  const [min, max, step] = span;
  const id = `control-${name.replace(/\W/g, "-")}`;
  const input = make("input", { type: "range", id, name, min, max, step, value: neutral, "data-neutral": neutral });
  const output = make("output", { for: id }, String(neutral));
  const words = make("label", { for: id }, label);
  if (about) {
    input.setAttribute("aria-describedby", `${id}-about`);
    return make("div", { class: "slider" }, words, output, input, make("small", { id: `${id}-about`, class: "quiet" }, about));
  }
  return make("div", { class: "slider" }, words, output, input);
}

function choice(name, label, options) {
  const menu = make("select", { name }, ...options.map(([value, text]) => make("option", { value }, text)));
  return make("label", {}, `${label} `, menu);
}

function seedGroup(card) {
  const dice = make("button", { type: "button" }, "Another");
  const field = number("seed", "Seed", 0, { max: 2 ** 32 - 1 });
  dice.addEventListener("click", () => {
    const input = field.querySelector("input");
    input.value = randomSeed();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const row = make("div", { class: "buttons" }, field, dice);
  const extra = card.c_dim ? [classes(card)] : [];
  return group("Latent", true, row, ...extra);
}

function classes(card) {
  if (card.c_dim > MANY) return number("class", `Class (0 to ${card.c_dim - 1})`, null, { max: card.c_dim - 1 });
  const all = Array.from({ length: card.c_dim }, (_, i) => [i, i]);
  return choice("class", "Class", [["", "none"], ...all]);
}

function truncation(card) {
  const parts = [slider("psi", "psi", [-1, 1.5, 0.05], card.psi, "0 is the average, 1 the untouched picture")];
  if (card.num_ws) {
    const rows = card.cutoff ?? card.num_ws;
    parts.push(slider("cutoff", "cutoff", [0, card.num_ws, 1], rows, "so many rows of ws are truncated"));
  }
  if (card.modes) {
    parts.push(make("label", {}, make("input", { type: "checkbox", name: "modes", value: "true" }), " towards the nearest of many centres"));
  }
  return group("Truncation", true, ...parts);
}

function dials(card) {
  const home = (dial) => Object.keys(card.layer_groups).find((name) => dial.first >= card.layer_groups[name][0] && dial.last <= card.layer_groups[name][1]) ?? "all";
  const homes = [...new Set(card.directions.map(home))];
  return homes.map((name, i) => {
    const own = card.directions.filter((dial) => home(dial) === name);
    return group(`Dials: ${name} layers`, i === 0, ...own.map((dial) => slider(`dial.${dial.name}`, dial.name.replaceAll("_", " "), [-DIAL, DIAL, 0.1], 0, dial.about)));
  });
}

function noise(card) {
  const parts = [];
  if (card.controls.includes("noise_shift")) parts.push(number("noise_seed", "Noise seed (empty: as stored)", null, { max: 2 ** 32 - 1 }));
  parts.push(slider("noise_scale", "strength", [0, 4, 0.1], 1));
  const boxes = card.noise_resolutions.map((pixels, layer) =>
    make("label", { class: "box" }, make("input", { type: "checkbox", name: "noise_layer", value: layer, checked: true, "aria-label": `layer ${layer}, ${pixels} pixels` }), `${pixels}`),
  );
  parts.push(make("fieldset", {}, make("legend", {}, "Layers with noise, by their pixels"), ...boxes));
  return group("Noise", false, ...parts);
}

function mixing(card) {
  const names = [...Object.keys(card.layer_groups), "all"];
  return group("Mix", false, number("mix_seed", "Second seed (empty: none)", null, { max: 2 ** 32 - 1 }), choice("mix_layers", "gives its layers", names.map((name) => [name, name])));
}

function motion() {
  return group("Motion", false, slider("x", "right", [-1, 1, 0.01], 0), slider("y", "down", [-1, 1, 0.01], 0), slider("rotate", "turn (degrees)", [-180, 180, 1], 0));
}

/** Fill the panel with what the card's model has. */
export function build(form, card) {
  const has = (name) => card.controls.includes(name);
  const reset = make("button", { type: "reset" }, "Reset all");
  form.replaceChildren(
    seedGroup(card),
    ...(has("psi") ? [truncation(card)] : []),
    ...(card.directions.length && has("ws_offset") ? dials(card) : []),
    ...(has("noise_scale") && card.noise_resolutions.length ? [noise(card)] : []),
    ...(has("mix") ? [mixing(card)] : []),
    ...(has("transform") ? [motion()] : []),
    reset,
  );
}

/** Show each slider's value beside it. */
export function label(form) {
  for (const input of form.querySelectorAll("input[type=range]")) {
    input.parentElement.querySelector("output").textContent = input.value;
  }
}

/** What the controls ask for, without what is as the model has it anyway. */
export function params(form, card) {
  const asked = new URLSearchParams();
  const value = (name) => form.elements[name]?.value ?? "";
  const moved = (name) => form.elements[name] && Number(value(name)) !== Number(form.elements[name].dataset.neutral);
  asked.set("seed", value("seed"));
  if (value("class")) asked.set("class", value("class"));
  if (moved("psi") || moved("cutoff") || form.elements.modes?.checked) {
    asked.set("psi", value("psi"));
    if (value("cutoff") && Number(value("cutoff")) < card.num_ws) asked.set("cutoff", value("cutoff"));
    if (form.elements.modes?.checked) asked.set("modes", "true");
  }
  const turned = card.directions.filter((dial) => moved(`dial.${dial.name}`));
  if (turned.length) asked.set("directions", turned.map((dial) => `${dial.name}=${value(`dial.${dial.name}`)}`).join(","));
  noiseParams(form, asked, value, moved);
  if (value("mix_seed")) {
    asked.set("mix_seed", value("mix_seed"));
    asked.set("mix_layers", value("mix_layers"));
  }
  if (moved("x") || moved("y")) asked.set("translate", `${value("x")},${value("y")}`);
  if (moved("rotate")) asked.set("rotate", value("rotate"));
  return asked;
}

function noiseParams(form, asked, value, moved) {
  if (value("noise_seed")) asked.set("noise_seed", value("noise_seed"));
  if (moved("noise_scale")) asked.set("noise_scale", value("noise_scale"));
  const boxes = [...form.querySelectorAll("[name=noise_layer]")];
  const on = boxes.filter((box) => box.checked).map((box) => box.value);
  if (on.length < boxes.length) asked.set("noise_layers", on.length ? on.join(",") : "none");
}

/** Check the boxes of layers by number, as in 0,4-7; names of groups leave them as they are. */
function restoreLayers(form, text) {
  const spans = text.split(",").map((part) => /^(\d+)(?:-(\d+))?$/.exec(part));
  if (text !== "none" && spans.includes(null)) return;
  const within = (layer) => spans.some((span) => span && layer >= Number(span[1]) && layer <= Number(span[2] ?? span[1]));
  for (const box of form.querySelectorAll("[name=noise_layer]")) box.checked = within(Number(box.value));
}

/** Set the controls to what parameters ask for; the others stay. */
export function restore(form, asked) {
  const set = (name, value) => {
    const element = form.elements[name];
    if (element?.type === "checkbox") element.checked = value === "true";
    else if (element && !(element instanceof RadioNodeList)) element.value = value;
  };
  for (const [name, value] of asked) {
    if (name === "directions") for (const part of value.split(",")) set(`dial.${part.split("=")[0]}`, part.split("=")[1]);
    else if (name === "translate") ["x", "y"].forEach((axis, i) => set(axis, value.split(",")[i]));
    else if (name === "noise_layers") restoreLayers(form, value);
    else set(name, value);
  }
}
