/* What may be chosen of a master, and the options that a choice is. */
import { get, post } from "./api.js";
import { Store } from "./store.js";

export const RESPECTS = ["eq", "dynamics", "width", "saturation", "restore"];
export const FORMATS = ["wav", "flac", "mp3", "ogg"];

/** A master as it is where nothing is chosen. */
export const DEFAULTS = Object.freeze({
  goal: "", loudness: "streaming", ceiling: "", reference: [], amounts: {}, repairs: {}, formats: ["wav"],
  bitDepth: "24", sampleRate: "keep", stems: false, conductor: false,
});

/** What the service offers; null until it has answered. */
export const offered = new Store(null);
export async function loadOffered() {
  offered.set(await get("/v1/choices"));
}

/** Whether anything but the goal is not as it was to begin with. */
export const isChanged = (choices) => JSON.stringify({ ...DEFAULTS, ...choices }) !== JSON.stringify(DEFAULTS);

const INTENTS = ["streaming", "loud", "reference"];

/** The service's options of a master. */
export function optionsOf(choices) {
  const options = {};
  const { goal, loudness, ceiling, reference, amounts, repairs, formats, bitDepth, sampleRate, stems, conductor } = { ...DEFAULTS, ...choices };
  if (goal.trim()) options.goal = goal.trim();
  if (INTENTS.includes(loudness)) { if (loudness !== "streaming") options.preset = loudness; }
  else if (Number.isFinite(Number(loudness))) options.target_lufs = Number(loudness);
  else options.target = loudness;
  if (ceiling !== "") options.true_peak_limit_db = Number(ceiling);
  if (reference.length) options.reference = reference.map(({ upload, profile }) => (upload ? { upload } : { profile }));
  const weighed = Object.fromEntries(Object.entries(amounts).filter(([, share]) => share !== 1));
  if (Object.keys(weighed).length) options.amounts = weighed;
  if (Object.keys(repairs).length) options.repairs = repairs;
  if (formats.length !== 1 || formats[0] !== "wav") options.output_format = formats;
  if (bitDepth !== "24") options.bit_depth = bitDepth;
  if (sampleRate !== "keep") options.sample_rate = sampleRate;
  if (stems) options.write_stems = true;
  if (conductor) options.conductor = true;
  return options;
}

const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]);

/** The choice that a job's options are; names of uploads come from `nameOf`. */
export function choicesOf(options, nameOf = (id) => id) {
  return {
    ...DEFAULTS,
    goal: options.goal ?? "",
    loudness: String(options.target_lufs ?? options.target ?? options.preset ?? "streaming"),
    ceiling: options.true_peak_limit_db ?? "",
    reference: list(options.reference).map(({ upload, profile }) => (upload ? { upload, name: nameOf(upload) } : { profile, name: profile })),
    amounts: options.amounts ?? {},
    repairs: options.repairs ?? {},
    formats: options.output_format ? list(options.output_format) : ["wav"],
    bitDepth: String(options.bit_depth ?? "24"),
    sampleRate: String(options.sample_rate ?? "keep"),
    stems: Boolean(options.write_stems),
    conductor: Boolean(options.conductor),
  };
}

const ALBUM = ["target", "target_lufs", "true_peak_limit_db", "bit_depth", "sample_rate", "amount"];

/** What of a master's options an album takes too. */
export function albumOptionsOf(choices) {
  const options = optionsOf(choices);
  const kept = Object.fromEntries(ALBUM.filter((name) => name in options).map((name) => [name, options[name]]));
  if (options.preset === "loud") kept.target = "loud";
  if (options.output_format) kept.output_format = options.output_format[0];
  return kept;
}

/** What is understood of a goal. */
export const understand = (text) => post("/v1/goals", { text });
