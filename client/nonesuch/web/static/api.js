// Requests to the HTTP API: patient with a server that is away, and gone as soon as nobody waits.

const TRY_AGAIN_MS = 2000;
const LONGEST_MS = 10000;
const PATIENT = new Set([429, 502, 503, 504]);

/** What the server refused, in its own sentence. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.name = "Refused";
    this.status = problem.status;
  }
}

/** Fetch a path; `waiting` is told why while there is no answer, and "" when there is one. */
export async function ask(path, { signal, waiting = () => {} } = {}) {
  for (;;) {
    const { response, delayMs, reason } = await attempt(path, signal);
    waiting(reason);
    if (response) return response;
    await sleep(delayMs, signal);
  }
}

async function attempt(path, signal) {
  let response;
  try {
    response = await fetch(path, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { delayMs: TRY_AGAIN_MS, reason: "This page's own server does not answer." };
  }
  if (response.ok) return { response, reason: "" };
  const problem = await response.json().catch(() => ({}));
  if (!PATIENT.has(response.status)) {
    throw new Refused({ detail: `The answer was ${response.status}.`, status: response.status, ...problem });
  }
  const afterMs = 1000 * Number(response.headers.get("Retry-After")) || TRY_AGAIN_MS;
  return { delayMs: Math.min(afterMs, LONGEST_MS), reason: said(response.status) };
}

function said(status) {
  if (status === 429) return "That was a lot at once.";
  if (status === 504) return "The server takes long.";
  return "The server that draws is away or busy.";
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("left", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Fetch JSON. */
export async function json(path, options) {
  return (await ask(path, options)).json();
}

/** Address of a picture of a model, from parameters. */
export function address(model, params, what = "image") {
  return `v1/models/${encodeURIComponent(model)}/${what}?${new URLSearchParams(params)}`;
}

/** Fetch a picture or a film as an address for an element; free it with URL.revokeObjectURL. */
export async function blob(path, options) {
  return URL.createObjectURL(await (await ask(path, options)).blob());
}

/**
 * Run one thing at a time: each call cancels the one before, `stop` the last one. What is cancelled
 * ends in silence.
 */
export function latest(work) {
  let controller = new AbortController();
  const run = async (...words) => {
    controller.abort();
    controller = new AbortController();
    try {
      return await work(controller.signal, ...words);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  };
  run.stop = () => controller.abort();
  return run;
}

/** Show a picture in an <img> when it is whole, and forget the one before. */
export async function show(img, url, alt) {
  const before = img.src;
  img.src = url;
  await img.decode();
  img.alt = alt;
  img.hidden = false;
  if (before.startsWith("blob:")) URL.revokeObjectURL(before);
}

export function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/** Say something to everyone, or nothing. */
export function notice(text, extra = "") {
  const place = document.querySelector("#notice");
  place.textContent = text && extra ? `${text} ${extra}` : text;
  place.hidden = !text;
}

/** Tell of a wait, as `ask` reports it. */
export function waiting(reason) {
  notice(reason, "This page goes on trying by itself.");
}
