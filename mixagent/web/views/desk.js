/* The desk: songs from the drop to the click. */
import { desk, choose, drop, isSending, judge, judgeAgain, listenFirst, master, masterAlbum, move, settle, take } from "../desk.js";
import { clock, number, percent, size, titleOf } from "../format.js";
import { isFinal, isThere, useJob } from "../live.js";
import { Action, Bar, Heading, Headline, Note, cls, say } from "../parts.js";
import { useStore } from "../store.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { WaveOf } from "../waveform.js";
import { PreviewPlayer } from "./preview.js";
import { Choices } from "./choices.js";
import { DropZone, FileButton } from "./drop.js";
import { Failed, ProgressLine } from "./progress.js";
import { goTo } from "../route.js";

export function Desk({ about }) {
  const { songs, choices, album } = useStore(desk);
  if (!songs.length) return html`<${Empty} about=${about} />`;
  const ready = songs.filter((song) => song.upload?.state === "ready");
  const isAlbum = album && songs.length > 1;
  const change = (values) => {
    choose(values);
    if (Object.keys(values).some((name) => !["formats", "bitDepth", "sampleRate", "stems"].includes(name))) judgeAgain();
  };
  return html`<div class="desk">
    <div class="desk-head"><${Heading}>${songs.length === 1 ? titleOf(songs[0].name) : texts.go.heading(songs.length)}<//>
      <div class="desk-tools"><${FileButton} onFiles=${drop} class="plain-button">${texts.drop.add}<//><${FileButton} folder onFiles=${drop} class="plain-button">${texts.drop.addFolder}<//></div></div>
    ${songs.length > 1 && html`<label class="switch album-switch"><input type="checkbox" checked=${album} onChange=${(event) => desk.set((all) => ({ ...all, album: event.target.checked }))} />
      <span><b>${texts.go.album0}</b> <span class="unit">${texts.go.albumNote}</span></span></label>`}
    <ol class=${cls("songs", songs.length === 1 && "single")}>${songs.map((song, k) => html`<${Song} key=${song.key} song=${song} alone=${songs.length === 1} isAlbum=${isAlbum} first=${k === 0} last=${k === songs.length - 1} />`)}</ol>
    <section class="wishes" aria-labelledby="wishes-title"><h2 id="wishes-title">${texts.choices.title}</h2><p class="lead">${texts.choices.lead}</p>
      <${Choices} value=${choices} change=${change} isAlbum=${isAlbum} /></section>
    <${Go} songs=${songs} ready=${ready} isAlbum=${isAlbum} />
  </div>`;
}

const Empty = ({ about }) => html`<div class="empty">
  <${Heading} class="hero">${texts.drop.heading[0]}<br />${texts.drop.heading[1]}<//><p class="hero-lead">${texts.drop.lead}</p>
  <${DropZone} onFiles=${drop} about=${about} words=${texts.drop.here} />
  <ol class="steps">${texts.drop.steps.map(([title, words], k) => html`<li><span class="step" aria-hidden="true">${k + 1}</span><h2>${title}</h2><p>${words}</p></li>`)}</ol>
</div>`;

function Go({ songs, ready, isAlbum }) {
  const [problem, setProblem] = useState(null);
  const waits = songs.filter((song) => !song.upload && isSending(song)).length;
  const label = isAlbum ? texts.go.album(ready.length) : ready.length > 1 ? texts.go.many(ready.length) : texts.go.one;
  async function run() {
    setProblem(null);
    if (isAlbum) { goTo(`jobs/${(await masterAlbum(ready)).id}`); return; }
    let last = null;
    for (const song of ready) last = await master(song.key);
    if (ready.length === 1) goTo(`jobs/${last.id}`);
    else say(texts.go.many(ready.length));
  }
  return html`<div class="go" role="region" aria-label=${texts.go.one}>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <div class="go-row">
      <span class="soft go-note">${waits ? texts.go.waits(waits) : texts.go.ready(ready.length)}</span>
      ${songs.length === 1 && html`<${FirstButton} song=${songs[0]} />`}
      <${Action} class="primary" run=${run} disabled=${!ready.length || (isAlbum && ready.length < 2)} onProblem=${setProblem}>${label}<//>
    </div></div>`;
}

function FirstButton({ song }) {
  const job = useJob(song.preview);
  const isBusy = song.preview && job && !isFinal(job) && !isThere(job);
  return html`<${Action} class="plain-button big" disabled=${song.upload?.state !== "ready" || isBusy} run=${() => listenFirst(song.key)}>${isThere(job) ? texts.preview.again : texts.preview.go}<//>`;
}

function Song({ song, alone, isAlbum, first, last }) {
  const verdict = useJob(song.verdict), next = useJob(song.next), heard = useJob(song.heard), newest = useJob(song.jobs.at(-1));
  const [open, setOpen] = useState(false);
  const { upload } = song, audio = upload?.audio;
  const isShown = alone || open;
  const isUnknown = upload?.state === "ready" && (!song.verdict || verdict === null) && (!song.next || next === null);
  useEffect(() => { if (isUnknown) judge(song.key); }, [isUnknown]);
  useEffect(() => { if (isFinal(next)) settle(song.key, next.id); }, [next?.state]);
  const id = `song-${song.key}`;
  return html`<li class=${cls("song", alone && "alone")} data-state=${stateOf(song, verdict, heard)}>
    <div class="song-head">
      ${!alone && html`<h2 class="song-title" id=${id}>${titleOf(song.name)}</h2>`}
      <p class="facts-line">${audio ? html`<b>${clock(audio.duration_s)}</b> · ${texts.song.facts(audio.container, number(audio.rate_hz / 1000, audio.rate_hz % 1000 ? 1 : 0), audio.bit_depth, audio.channels)}` : size(song.bytes)}</p>
      <div class="song-tools">
        ${isAlbum && html`<button type="button" class="icon-button" disabled=${first} aria-label=${texts.song.up(song.name)} onClick=${() => move(song.key, -1)}>↑</button>
          <button type="button" class="icon-button" disabled=${last} aria-label=${texts.song.down(song.name)} onClick=${() => move(song.key, 1)}>↓</button>`}
        <button type="button" class="icon-button" aria-label=${texts.song.remove(song.name)} onClick=${() => take(song.key)}>×</button></div>
    </div>
    ${upload?.state !== "refused" && html`<div class="song-wave">${upload?.state === "ready" ? html`<${WaveOf} url="/v1/uploads/${upload.id}/peaks" label=${texts.song.wave(song.name)} />` : html`<${Arriving} song=${song} />`}</div>`}
    ${song.problem && html`<${Note} title=${upload?.state === "refused" ? texts.song.refused : texts.errors.title} detail=${song.problem.detail} />`}
    ${(upload?.state === "ready" || (isSending(song) && !song.problem)) && html`<${Verdict} song=${song} job=${verdict} heard=${heard} isAsked=${Boolean(song.next)} level=${alone ? "h2" : "h3"} short=${!isShown} onOpen=${alone ? null : () => setOpen(!open)} open=${open} />`}
    ${newest && html`<${Newest} job=${newest} count=${song.jobs.length} />`}
    ${isShown && song.preview && html`<${Preview} song=${song} />`}
  </li>`;
}

function stateOf(song, verdict, heard) {
  if (song.problem) return "problem";
  if (song.upload?.state !== "ready") return isSending(song) ? "arriving" : "interrupted";
  return verdict?.state === "done" ? "judged" : heard?.state === "done" ? "heard" : "judging";
}

function Arriving({ song }) {
  const share = song.bytes ? Math.min((song.sent ?? 0) / song.bytes, 1) : 0;
  if (!isSending(song)) {
    const known = song.uploadId && share >= 1;
    return html`<div class="arriving"><p>${known ? texts.song.checking : texts.song.interrupted(percent(share))}</p>
      ${!known && html`<${FileButton} onFiles=${drop} class="plain-button">${texts.song.resume}<//>`}</div>`;
  }
  const words = song.upload || share >= 1 ? texts.song.checking : song.uploadId ? texts.song.sending(percent(share)) : texts.song.waiting;
  return html`<div class="arriving"><${Bar} share=${share >= 1 ? null : share} label=${words} /><p>${words}</p></div>`;
}

const MOST_SHOWN = 5;

/** What is wrong with a song, known within seconds, and what would be done, which takes longer. */
function Verdict({ song, job, heard, isAsked, level, short, onOpen, open }) {
  const isHere = song.upload?.state === "ready", plan = job?.state === "done" ? job.result : null;
  const result = plan ?? (heard?.state === "done" ? heard.result : null);
  const found = result?.summary ?? [];
  useEffect(() => { if (result) say(texts.verdict.ready(titleOf(song.name), found.length)); }, [Boolean(result)]);
  useEffect(() => { if (plan) say(texts.verdict.planned(titleOf(song.name))); }, [job?.id, Boolean(plan)]);
  if (job && (job.state === "failed" || job.state === "cancelled")) return html`<${Note} title=${texts.verdict.failed} detail=${job.problem?.detail} />`;
  if (short) {
    return html`<div class="verdict-short"><span>${result ? texts.song.found(found.length) : isHere ? texts.song.judging : ""}</span>
      <span class="soft">${result ? `${number(result.before?.integrated_lufs)} LUFS` : ""}</span>
      <button type="button" class="quiet" aria-expanded=${open} aria-controls="song-${song.key}-verdict" onClick=${onOpen}>${texts.song.open}</button></div>`;
  }
  return html`<div class=${cls("verdict-full", (!result || isAsked) && "pending")} id="song-${song.key}-verdict" aria-busy=${!plan || isAsked}>
    ${onOpen && html`<div class="verdict-short"><span></span><span></span><button type="button" class="quiet" aria-expanded="true" onClick=${onOpen}>${texts.song.shut}</button></div>`}
    <${Headline} before=${result?.before} />
    <div class="overview">
      <div><${level}>${texts.verdict.heard}<//>${result ? html`<ul>${found.length ? found.slice(0, MOST_SHOWN).map((each) => html`<li>${each}</li>`) : html`<li>${texts.verdict.nothingFound}</li>`}</ul>` : html`<${Skeleton} />`}</div>
      <div><${level}>${texts.verdict.done}<//>${plan ? html`<ul>${plan.done?.length ? plan.done.map((each) => html`<li>${each}</li>`) : html`<li>${texts.verdict.nothingDone}</li>`}</ul>` : html`<p class="soft planning">${isHere ? texts.song.planning : ""}</p><${Skeleton} lines=${3} />`}</div>
    </div>
    <div class="notes-space">${result?.warnings?.length > 0 && html`<details class="quiet-details"><summary>${texts.verdict.warnings} (${result.warnings.length})</summary><ul>${result.warnings.map((each) => html`<li>${each}</li>`)}</ul></details>`}</div>
  </div>`;
}

const Skeleton = ({ lines = 4 }) => html`<ul class="skeleton" aria-hidden="true">${Array.from({ length: lines }, () => html`<li></li>`)}</ul>`;

const Newest = ({ job, count }) => html`<div class="newest">
  <a href="#/jobs/${job.id}">${isFinal(job) || isThere(job) ? texts.song.last : texts.progress.running}${count > 1 ? ` (${texts.song.masters(count)})` : ""}</a>
  ${isFinal(job) || isThere(job) ? html`<span class=${isThere(job) ? "good" : "bad"}>${texts.history.state[isThere(job) ? "done" : job.state]}</span>` : html`<${ProgressLine} job=${job} />`}</div>`;

function Preview({ song }) {
  const job = useJob(song.preview);
  if (!job) return null;
  if (job.state === "failed" || job.state === "cancelled") return html`<${Failed} job=${job} />`;
  return html`<section class="preview" aria-labelledby="preview-${song.key}"><h3 id="preview-${song.key}">${texts.preview.title}</h3>
    ${isThere(job) ? html`<${PreviewPlayer} key=${job.id} job=${job} upload=${song.upload} />` : html`<p class="soft">${texts.preview.running}</p><${ProgressLine} job=${job} />`}</section>`;
}
