/* Stems side by side: heard together, alone, louder or softer. */
/* global listening */
import { size, clock } from "../format.js";
import { start } from "../live.js";
import { Action } from "../parts.js";
import { goTo } from "../route.js";
import { opener } from "../sounds.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { WaveOf } from "../waveform.js";

const s = texts.stems;
const ORDER = ["vocals", "drums", "bass", "guitar", "piano", "other", "accompaniment", "instrumental", "residual"];

export const stemName = (file) => s.names[file.stem] ?? file.stem ?? file.name;

/** `plain` leaves out the way on to a master; `children` stand beside it. */
export function Mixer({ job, plain = false, children }) {
  const files = job.files.filter((file) => file.role === "stem" && file.audio)
    .sort((one, other) => ORDER.indexOf(one.stem) - ORDER.indexOf(other.stem));
  const [mix, setMix] = useState(() => Object.fromEntries(files.map((file) => [file.name, { level: 1, isMute: false, isSolo: false }])));
  const deck = useDeck(files, mix);
  const set = (name, values) => setMix((all) => ({ ...all, [name]: { ...all[name], ...values } }));
  const durationS = Math.max(...files.map((file) => file.audio.duration_s));
  return html`${!plain && html`<h2>${s.mixer}</h2><p class="lead">${s.mixerLead}</p>`}
    <div class="player mixer" data-state=${deck.state} data-mixer=${job.id}>
      ${files.map((file, k) => html`<${Strip} key=${file.name} file=${file} k=${k} strip=${mix[file.name]} set=${(values) => set(file.name, values)} isHeard=${gainOf(mix, file.name) > 0} />`)}
      <input class="seek" type="range" min="0" max=${durationS} step="any" value=${deck.at} aria-label=${texts.player.position}
        aria-valuetext=${texts.player.place(clock(deck.at), clock(durationS))} onInput=${(event) => deck.jump(Number(event.target.value))} />
      <div class="controls"><button type="button" class="play" aria-pressed=${deck.state === "playing"} onClick=${deck.toggle}><span class="icon" aria-hidden="true"></span>
        <span>${{ playing: texts.player.pause, loading: texts.player.decoding }[deck.state] ?? texts.player.play}</span></button>
        <output class="time" aria-live="off">${clock(deck.at)}</output></div>
      <p class="gains" aria-live="polite">${deck.problem ?? ""}</p>
    </div>
    ${!plain && html`<div class="tools"><${Action} class="primary" run=${() => toMaster(job, files)}>${s.toMaster}<//>${children}</div><p class="hint tools-note">${s.toMasterNote}</p>`}`;
}

const gainOf = (mix, name) => {
  const isAlone = Object.values(mix).some((strip) => strip.isSolo), { level, isMute, isSolo } = mix[name];
  return isMute || (isAlone && !isSolo) ? 0 : level ** 2;
};

async function toMaster(job, files) {
  const stems = files.filter((file) => file.stem !== "residual").map((file) => ({ job: job.id, file: file.name }));
  const made = await start("master", [], { stems_in: stems });
  goTo(`jobs/${made.id}`);
}

const Strip = ({ file, k, strip, set, isHeard }) => {
  const name = stemName(file);
  return html`<div class="strip" style=${{ "--side": `var(--side-${k + 1})` }} role="group" aria-label=${name}>
    <span class="strip-name">${name}</span>
    <span class=${isHeard ? "strip-wave" : "strip-wave off"}><${WaveOf} url=${file.peaks_url} label=${texts.song.wave(name)} /></span>
    <button type="button" class="plain" aria-pressed=${strip.isMute} aria-label=${s.mute(name)} onClick=${() => set({ isMute: !strip.isMute })}>${s.muteShort}</button>
    <button type="button" class="plain" aria-pressed=${strip.isSolo} aria-label=${s.solo(name)} onClick=${() => set({ isSolo: !strip.isSolo })}>${s.soloShort}</button>
    <input type="range" min="0" max="1" step="0.01" value=${strip.level} aria-label=${s.level(name)} onInput=${(event) => set({ level: Number(event.target.value) })} />
    <a class="plain" href=${`${file.url}?download=1`} download aria-label="${s.download(name)}, ${size(file.bytes)}">↓ <span class="unit">${size(file.bytes)}</span></a>
  </div>`;
};

/** The stems on one clock; it is opened by the first press of play. */
function useDeck(files, mix) {
  const [state, setState] = useState("idle"), [problem, setProblem] = useState(null), [at, setAt] = useState(0);
  const deck = useRef(null), now = useRef(mix);
  now.current = mix;
  useEffect(() => { deck.current?.applyGains(); }, [mix]);
  useEffect(() => () => { deck.current?.pause(); deck.current?.context.close(); }, []);
  useEffect(() => {
    if (state !== "playing") return undefined;
    const timer = setInterval(() => setAt(deck.current.position()), 100);
    return () => clearInterval(timer);
  }, [state]);
  const changed = (error) => {
    if (error) setProblem(texts.player.undecodable(error.message));
    setState(deck.current?.isPlaying() ? "playing" : "idle");
    setAt(deck.current?.position() ?? 0);
  };
  async function open() {
    setState("loading");
    const context = new AudioContext({ sampleRate: files[0].audio.rate_hz });
    const sounds = await opener(files.map((file) => ({ name: file.name, url: file.url })))(context);
    deck.current = listening.transport(context, sounds, (name) => gainOf(now.current, name), changed);
    deck.current.jump(at);
  }
  async function toggle() {
    setProblem(null);
    try {
      if (!deck.current) await open();
      await deck.current.context.resume();
      if (deck.current.isPlaying()) deck.current.pause();
      else deck.current.play();
    } catch (error) {
      changed(error);
    }
  }
  const jump = (seconds) => { setAt(seconds); deck.current?.jump(seconds); };
  return { state, problem, at, toggle, jump };
}
