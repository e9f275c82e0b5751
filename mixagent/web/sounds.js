/* Sounds for the player: PCM by ranges, a few seconds at a time; anything else whole. */
/* global listening */
import { address } from "./api.js";

const PIECE_S = 10, HEAD_BYTES = 65536, KEPT_PIECES = 6;

/** The sounds of sides, each `{url, shiftS}`: the player's time begins `shiftS` into the file. */
export const opener = (sides) => async (context) => {
  const opened = await Promise.all(sides.map((side) => openSound(context, side)));
  return Object.fromEntries(sides.map((side, k) => [side.name, opened[k]]));
};

async function openSound(context, { url, shiftS = 0, durationS }) {
  const pcm = await openPcm(url);
  if (pcm && pcm.rate === context.sampleRate) return pieces(pcm, url, shiftS, durationS);
  const answer = await fetch(address(url), { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const buffer = await context.decodeAudioData(await answer.arrayBuffer());
  return listening.wholeSound(shiftS || durationS ? part(buffer, shiftS, durationS) : buffer);
}

/* A stretch of a buffer as one of its own. */
function part(buffer, fromS, durationS = Infinity) {
  const from = Math.round(fromS * buffer.sampleRate);
  const length = Math.min(buffer.length - from, Math.round(durationS * buffer.sampleRate) || Infinity);
  const taken = new AudioBuffer({ numberOfChannels: buffer.numberOfChannels, length: Math.max(length, 1), sampleRate: buffer.sampleRate });
  for (let k = 0; k < buffer.numberOfChannels; k += 1) {
    taken.copyToChannel(buffer.getChannelData(k).subarray(from, from + taken.length), k);
  }
  return taken;
}

function pieces(pcm, url, shiftS, durationS = Infinity) {
  const first = Math.round(shiftS * pcm.rate);
  const frames = Math.min(pcm.frames - first, Math.round(durationS * pcm.rate) || Infinity);
  const kept = new Map();
  const ask = async (k) => {
    const from = first + k * PIECE_S * pcm.rate, to = Math.min(from + PIECE_S * pcm.rate, first + frames);
    const bytes = await range(url, pcm.at + from * pcm.frameBytes, pcm.at + to * pcm.frameBytes - 1);
    return decoded(pcm, bytes);
  };
  function piece(k) {
    const known = kept.get(k);
    if (known) return known;
    const asked = ask(k).then(
      (buffer) => { kept.set(k, buffer); forget(k); return buffer; },
      (error) => { kept.delete(k); throw error; },
    );
    kept.set(k, asked);
    return asked;
  }
  const forget = (k) => {
    for (const other of kept.keys()) if (kept.size > KEPT_PIECES && Math.abs(other - k) > 2) kept.delete(other);
  };
  return { durationS: frames / pcm.rate, pieceS: PIECE_S, piece };
}

async function range(url, from, to) {
  const answer = await fetch(address(url), { credentials: "same-origin", headers: { Range: `bytes=${from}-${to}` } });
  if (answer.status !== 206) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

/* The layout of a WAV file's samples, or null where it is none or not by ranges. */
async function openPcm(url) {
  const stop = new AbortController();
  const answer = await fetch(address(url), {
    credentials: "same-origin", signal: stop.signal, headers: { Range: `bytes=0-${HEAD_BYTES - 1}` },
  });
  if (answer.status !== 206) {
    stop.abort();
    if (answer.ok) return null;
    throw new Error(`${answer.status} ${answer.statusText}`);
  }
  return layoutOf(new DataView(await answer.arrayBuffer()));
}

const text = (view, at) => String.fromCharCode(...new Uint8Array(view.buffer, at, 4));

function layoutOf(view) {
  if (view.byteLength < 44 || text(view, 0) !== "RIFF" || text(view, 8) !== "WAVE") return null;
  let format = null;
  for (let at = 12; at + 8 <= view.byteLength;) {
    const name = text(view, at), bytes = view.getUint32(at + 4, true);
    if (name === "fmt " && at + 24 <= view.byteLength) format = formatOf(view, at + 8, bytes);
    if (name === "data") {
      return format && format.read ? { ...format, at: at + 8, frames: Math.floor(bytes / format.frameBytes) } : null;
    }
    at += 8 + bytes + (bytes % 2);
  }
  return null;
}

const READ = {
  "1-16": (view, at) => view.getInt16(at, true) / 32768,
  "1-24": (view, at) => (view.getInt8(at + 2) * 65536 + view.getUint16(at, true)) / 8388608,
  "1-32": (view, at) => view.getInt32(at, true) / 2147483648,
  "3-32": (view, at) => view.getFloat32(at, true),
};

function formatOf(view, at, bytes) {
  const coded = view.getUint16(at, true), bits = view.getUint16(at + 14, true);
  const kind = coded === 0xfffe && bytes >= 26 ? view.getUint16(at + 24, true) : coded;
  return {
    channels: view.getUint16(at + 2, true), rate: view.getUint32(at + 4, true),
    frameBytes: view.getUint16(at + 12, true), sampleBytes: bits / 8, read: READ[`${kind}-${bits}`],
  };
}

/* The front pair of anything wider. */
function decoded({ channels, frameBytes, sampleBytes, read, rate }, bytes) {
  const view = new DataView(bytes), length = Math.floor(bytes.byteLength / frameBytes);
  const buffer = new AudioBuffer({ numberOfChannels: Math.min(channels, 2), length: Math.max(length, 1), sampleRate: rate });
  for (let k = 0; k < buffer.numberOfChannels; k += 1) {
    const samples = buffer.getChannelData(k);
    for (let n = 0, at = k * sampleBytes; n < length; n += 1, at += frameBytes) samples[n] = read(view, at);
  }
  return buffer;
}
