// The page with one face: a reload or the space bar brings another, its address brings it back.

import { address, ask, blob, json, latest, notice, randomSeed, Refused, show, waiting } from "./api.js";

const SEEDS = 2 ** 32;
const FRAMES = 12; // between neighbours
const FRAME_MS = 40;

const face = document.querySelector("#face");
const backdrop = document.querySelector("#backdrop");
const still = matchMedia("(prefers-reduced-motion: reduce)");

// Whatever else is in the address is a setting of the picture, as the studio's link has it.
const settings = new URLSearchParams(location.search);
let model = settings.get("model");
let seed = Number(settings.get("seed") ?? NaN);
let mixes = false;
settings.delete("model");
settings.delete("seed");

function params(more = {}) {
  return new URLSearchParams([...settings, ["seed", seed], ...Object.entries(more)]);
}

function here() {
  return new URLSearchParams([["model", model], ["seed", seed], ...settings]);
}

const draw = latest(async (signal) => {
  tell();
  await put(await blob(address(model, params()), { signal, waiting }));
});

async function put(url) {
  await show(face, url, `Synthetic picture: ${model}, seed ${seed}. What it shows does not exist.`);
  shown();
}

function shown() {
  requestAnimationFrame(() => {
    performance.mark("shown");
    setTimeout(() => (backdrop.src = face.src)); // to blur it takes longer than to show the face
  });
}

/** Whether the picture that stood in the page is there; it is asked for once, and then by `draw`. */
async function arrived() {
  tell();
  try {
    await face.decode();
  } catch {
    face.hidden = true;
    return false;
  }
  shown();
  return true;
}

function tell() {
  const place = document.querySelector("#seed");
  place.textContent = `${model}, seed ${seed}`;
  document.title = `${model} ${seed} – does not exist`;
  document.querySelector("#studio").href = `studio?${here()}`;
  document.querySelector("#save").href = address(model, params());
}

/** Go to another seed; Back leads to the one before. */
function go(to, change = draw) {
  if (!model) return; // the server has not told yet
  seed = (to + SEEDS) % SEEDS;
  history.pushState(null, "", `?${here()}`);
  return change().catch(refused);
}

const morph = latest(async (signal, from) => {
  tell();
  const shares = Array.from({ length: FRAMES - 1 }, (_, i) => (i + 1) / FRAMES);
  const frames = shares.map((share) =>
    blob(address(model, { ...Object.fromEntries(settings), seed: from, mix_seed: seed, mix_shares: share.toFixed(4) }), { signal }),
  );
  for (const frame of frames) frame.catch(() => {}); // told below, in their order
  let due = performance.now();
  for (const frame of [...frames, blob(address(model, params()), { signal, waiting })]) {
    const url = await frame;
    due = Math.max(due + FRAME_MS, performance.now());
    await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    signal.throwIfAborted();
    await put(url);
  }
});

function neighbour(step, hurry) {
  const from = seed;
  const plain = !mixes || hurry || still.matches || settings.has("mix_seed");
  return go(seed + step, plain ? draw : () => morph(from));
}

function refused(error) {
  if (!(error instanceof Refused)) throw error;
  notice(error.message);
}

addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === " " && !event.target.closest("a, button")) {
    event.preventDefault();
    go(randomSeed());
  } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    event.preventDefault();
    neighbour(event.key === "ArrowRight" ? 1 : -1, event.repeat);
  }
});
addEventListener("popstate", () => {
  seed = Number(new URLSearchParams(location.search).get("seed"));
  draw().catch(refused);
});
document.querySelector("#next").addEventListener("click", () => go(randomSeed()));
document.querySelector("#before").addEventListener("click", () => neighbour(-1));
document.querySelector("#after").addEventListener("click", () => neighbour(1));

async function start() {
  const given = { ...face.dataset }; // of the picture that stands in the page, if one does
  const reloaded = performance.getEntriesByType("navigation")[0]?.type === "reload";
  if (reloaded || !(Number.isInteger(seed) && seed >= 0 && seed < SEEDS)) {
    seed = given.seed && Number(given.seed) !== seed ? Number(given.seed) : randomSeed();
  }
  model ??= given.model ?? (await json("v1/models", { waiting })).models[0]?.name;
  if (!model) return notice("The server has no model that is ready.", "Load one, and reload this page.");
  history.replaceState(null, "", `?${here()}`);
  if (Number(given.seed) !== seed || !(await arrived())) await draw();
  const card = await (await ask(`v1/models/${encodeURIComponent(model)}`)).json();
  mixes = card.controls.includes("mix");
  performance.mark("known");
}

start().catch(refused);
