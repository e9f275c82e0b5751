/* A song taken apart: drop, say what is wanted, hear, download, or go on to master. */
import { FORMATS } from "../choices.js";
import { drop, isSending, stems, takeAway } from "../apart.js";
import { clock, percent, titleOf } from "../format.js";
import { isFinal, start, useJob } from "../live.js";
import { Action, Bar, Heading, Note } from "../parts.js";
import { useStore } from "../store.js";
import { texts } from "../texts.js";
import { html, useState } from "../vendor/preact.js";
import { WaveOf } from "../waveform.js";
import { DropZone } from "./drop.js";
import { Mixer } from "./mixer.js";
import { Failed, Progress } from "./progress.js";

const s = texts.stems;
const WAYS = { vocals: { kind: "vocals" }, four: { kind: "split", stems: 4 }, five: { kind: "split", stems: 5 }, six: { kind: "split", stems: 6 } };

export function Stems({ about }) {
  const { song } = useStore(stems);
  if (!song) {
    return html`<div class="empty"><${Heading} class="hero">${texts.drop.stemsHeading}<//><p class="hero-lead">${texts.drop.stemsLead}</p>
      <${DropZone} onFiles=${drop} about=${about} words=${texts.drop.stemsHere} multiple=${false} /></div>`;
  }
  return html`<div class="desk"><div class="desk-head"><${Heading}>${titleOf(song.name)}<//><div class="desk-tools"><button type="button" class="plain-button" onClick=${takeAway}>${s.another}</button></div></div>
    <${Source} song=${song} />${song.job ? html`<${Made} key=${song.job} song=${song} />` : song.upload?.state === "ready" && html`<${Wanted} song=${song} />`}</div>`;
}

function Source({ song }) {
  const { upload } = song, share = song.bytes ? (song.sent ?? 0) / song.bytes : 0;
  if (upload?.state === "ready") {
    return html`<div class="song alone"><div class="song-head"><p class="facts-line"><b>${clock(upload.audio.duration_s)}</b> · ${texts.song.facts(upload.audio.container, upload.audio.rate_hz / 1000, upload.audio.bit_depth, upload.audio.channels)}</p></div>
      <div class="song-wave"><${WaveOf} url="/v1/uploads/${upload.id}/peaks" label=${texts.song.wave(song.name)} /></div></div>`;
  }
  if (song.problem) return html`<${Note} title=${texts.song.refused} detail=${song.problem.detail} />`;
  const words = share >= 1 ? texts.song.checking : isSending() ? texts.song.sending(percent(share)) : texts.song.interrupted(percent(share));
  return html`<div class="song alone"><div class="song-wave"><div class="arriving"><${Bar} share=${share >= 1 ? null : share} label=${words} /><p>${words}</p></div></div></div>`;
}

function Wanted({ song }) {
  const [way, setWay] = useState("vocals"), [format, setFormat] = useState("wav"), [isLoud, setLoud] = useState(false), [problem, setProblem] = useState(null);
  const isVocals = WAYS[way].kind === "vocals";
  async function run() {
    setProblem(null);
    const options = { ...(format === "wav" ? {} : { output_format: format }), ...(isLoud ? { normalize: true } : {}), ...(isVocals ? {} : { stems: WAYS[way].stems }) };
    const job = await start(WAYS[way].kind, [song.upload.id], options);
    stems.set((all) => ({ song: { ...all.song, job: job.id } }));
  }
  return html`<section aria-labelledby="ways-title"><h2 id="ways-title">${s.what}</h2>
    <div class="ways" role="radiogroup" aria-labelledby="ways-title">${Object.keys(WAYS).map((name) => html`<label class="way"><input type="radio" name="way" value=${name} checked=${way === name} onChange=${() => setWay(name)} /><span><b>${s[name]}</b><span class="unit">${s[`${name}Note`]}</span></span></label>`)}</div>
    <div class="field-row"><div class="field"><label for="stems-format">${s.format}</label><select id="stems-format" value=${format} onChange=${(event) => setFormat(event.target.value)}>${FORMATS.map((each) => html`<option value=${each}>${each.toUpperCase()}</option>`)}</select></div>
      <label class="switch"><input type="checkbox" checked=${isLoud} onChange=${(event) => setLoud(event.target.checked)} /> <span>${s.normalize} <span class="unit">${s.normalizeNote}</span></span></label></div>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <div class="tools"><${Action} class="primary" run=${run} onProblem=${setProblem}>${isVocals ? s.goVocals : s.go}<//></div></section>`;
}

function Made({ song }) {
  const job = useJob(song.job);
  const back = () => stems.set((all) => ({ song: { ...all.song, job: null } }));
  if (job === null) return html`<${Wanted} song=${song} />`;
  if (!job) return html`<div class="player-space" aria-busy="true"></div>`;
  if (!isFinal(job)) return html`<${Progress} job=${job} />`;
  if (job.state !== "done") return html`<${Failed} job=${job}><button type="button" class="plain-button" onClick=${back}>${texts.errors.again}</button><//>`;
  return html`<section class="apart"><${Mixer} job=${job}><a class="plain-button" href="#/jobs/${job.id}">${texts.job.downloads}</a>
    <button type="button" class="plain-button" onClick=${back}>${s.otherWay}</button><//></section>`;
}
