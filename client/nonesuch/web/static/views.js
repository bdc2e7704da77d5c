// What the studio draws: one picture, a matrix of mixes, a film. A newer one cancels the one before.

import { address, ask, blob, json, latest, show, waiting } from "./api.js";

const MOST = 8; // rows or columns of a matrix

const $ = (id) => document.getElementById(id);

/** One picture, with the time that it took. */
export const picture = latest(async (signal, card, asked) => {
  const path = address(card.name, asked);
  $("image").classList.add("stale");
  const startMs = performance.now();
  await show($("image"), await blob(path, { signal, waiting }), `Synthetic picture: ${card.name}, ${told(asked)}. What it shows does not exist.`);
  $("image").classList.remove("stale");
  $("caption").textContent = `${card.width}×${card.height}, in ${Math.round(performance.now() - startMs)} ms. ${told(asked)}`;
  performance.mark("drawn", { detail: asked.toString() });
});

function told(asked) {
  return [...asked].map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", ");
}

/** The code of a request, shown, and copied where the browser allows it. */
export const copy = latest(async (signal, card, asked, language) => {
  const path = address(card.name, new URLSearchParams([...asked, ["language", language]]), "code");
  const text = await (await ask(path, { signal, waiting })).text();
  $("code").textContent = text;
  $("code").hidden = false;
  const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  $("copied").textContent = copied ? "Copied." : "Select it below.";
});

function seeds(text) {
  return text.split(/[\s,]+/).filter(Boolean).slice(0, MOST);
}

/** The matrix: a table whose cells fill as they come. */
export const matrix = latest(async (signal, card, asked) => {
  const [rows, columns, layers] = [seeds($("rows").value), seeds($("columns").value), $("taken").value];
  const table = $("mixed");
  const cells = [];
  const cell = (tag, more, alt) => {
    const img = document.createElement("img");
    const place = document.createElement(tag);
    place.append(img);
    cells.push([img, new URLSearchParams([...Object.entries({ ...Object.fromEntries(asked), ...more })]), alt]);
    return place;
  };
  const line = (...places) => {
    const row = document.createElement("tr");
    row.append(...places);
    return row;
  };
  free(table);
  table.replaceChildren(
    line(document.createElement("td"), ...columns.map((seed) => cell("th", { seed }, `Seed ${seed}`))),
    ...rows.map((source) =>
      line(cell("th", { seed: source }, `Seed ${source}`), ...columns.map((seed) => cell("td", { seed, mix_seed: source, mix_layers: layers }, `Seed ${seed} with the ${layers} layers of seed ${source}`))),
    ),
  );
  await Promise.all(cells.map(async ([img, params, alt]) => show(img, await blob(address(card.name, params), { signal, waiting }), alt)));
  performance.mark("mixed");
});

function free(table) {
  for (const img of table.querySelectorAll("img[src]")) URL.revokeObjectURL(img.src);
}

/** The film; as an animated picture where a video could not hold it. */
export const film = latest(async (signal, card, asked) => {
  const still = card.channels === 4 || card.width % 2 || card.height % 2;
  const params = new URLSearchParams([...asked].filter(([name]) => name !== "seed"));
  for (const [name, value] of new FormData($("reel"))) params.set(name, value);
  $("filmed").textContent = "Drawing the film …";
  const startMs = performance.now();
  const url = await blob(address(card.name, params, still ? "morph.webp" : "morph.mp4"), { signal, waiting });
  const player = still ? $("moving") : $("video");
  const alt = `Synthetic film: ${card.name}, seeds ${params.get("seeds")} become each other.`;
  if (still) await show(player, url, alt);
  else await play(player, url, alt);
  $("filmed").textContent = `Drawn in ${((performance.now() - startMs) / 1000).toFixed(1)} s. Seeds ${params.get("seeds")}.`;
  performance.mark("filmed");
});

/** Forget the film: there is another model. */
export function noFilm() {
  film.stop();
  $("video").hidden = $("moving").hidden = true;
  $("filmed").textContent = "A film takes a while: all its frames are drawn for you.";
}

async function play(player, url, alt) {
  if (player.src) URL.revokeObjectURL(player.src);
  player.src = url;
  player.setAttribute("aria-label", alt);
  player.hidden = false;
  await player.play().catch(() => {}); // a browser may want a click first
}

/** A model's card. */
export const card = (name) => json(`v1/models/${encodeURIComponent(name)}`, { waiting });
