/* One job: on its way, and what came of it. */
import { get } from "../api.js";
import { choicesOf, optionsOf } from "../choices.js";
import { change, desk } from "../desk.js";
import { clock, number, size, titleOf, when } from "../format.js";
import { erase, isFinal, isThere, start, useJob } from "../live.js";
import { Player } from "../listen.js";
import { Action, Heading, Headline } from "../parts.js";
import { goTo } from "../route.js";
import { texts } from "../texts.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { BlindTest } from "./blind.js";
import { Charts } from "./charts.js";
import { Choices, optionWords } from "./choices.js";
import { Mixer } from "./mixer.js";
import { Failed, Progress, duration } from "./progress.js";
import { Rating } from "./rating.js";
import { Share } from "./share.js";

const j = texts.job;

export function JobPage({ id, about }) {
  const job = useJob(id);
  if (job === undefined) return html`<div class="page-space" aria-busy="true"><p class="soft">${texts.wait}</p></div>`;
  if (job === null) return html`<${Heading}>${j.gone}<//><p class="lead">${texts.errors.gone}</p><p><a href="#/">${j.back}</a></p>`;
  return html`<article class="job" key=${id}>
    <p class="kicker"><a href="#/${isOfStems(job) ? "stems" : ""}">${j.back}</a> · ${kindOf(job)} · ${when(job.created_at)}</p>
    <${Heading}><${Title} job=${job} /><//>
    ${isThere(job) ? html`<${Result} job=${job} about=${about} />`
      : isFinal(job) ? html`<${Failed} job=${job}><${Action} class="plain-button" run=${() => again(job)}>${j.retry}<//><//>`
        : html`<${Progress} job=${job} />`}
  </article>`;
}

/** A job's name; of a master of stems that of the song which they were. */
function Title({ job }) {
  const split = useJob(job.options.stems_in?.[0]?.job);
  return job.kind === "album" ? j.album(job.uploads.length) : titleOf(split?.name ?? job.name);
}

const isOfStems = (job) => job.kind === "split" || job.kind === "vocals";

export const kindOf = (job) => (job.options.dry_run ? j.dryRun : job.options.preview ? j.preview : j.kinds[job.kind] ?? job.kind);

const sourcesOf = (job) => job.uploads.map((each) => each.id ?? { job: each.job, file: each.file ?? each.name });

async function again(job, options = job.options) {
  const made = await start(job.kind, sourcesOf(job), options);
  const song = desk.value.songs.find((each) => each.upload?.id === job.uploads[0]?.id);
  if (song && job.kind === "master") change(song.key, { jobs: [...song.jobs, made.id] });
  goTo(`jobs/${made.id}`);
}

function Result({ job, about }) {
  if (isOfStems(job)) return html`<${Mixer} job=${job} /><${Downloads} job=${job} />`;
  if (job.kind === "album") return html`<${AlbumResult} job=${job} />`;
  return html`<${MasterResult} job=${job} about=${about} />`;
}

const Verdict = ({ result }) => result.met !== undefined && result.met !== null && html`<p class="verdict ${result.met ? "met" : "missed"}">
  <strong>${result.met ? j.met : j.missed}</strong> <span>${result.missed ?? ""}</span></p>`;

/** All masters of the same song, the oldest first; null until they are known. */
function useVersions(job) {
  const [others, setOthers] = useState(null);
  const of = JSON.stringify(identityOf(job));
  useEffect(() => {
    let here = true;
    get(`/v1/jobs?kind=master&state=done&limit=100&search=${encodeURIComponent(titleOf(job.name).slice(0, 80))}`)
      .then(({ jobs }) => { if (here) setOthers(jobs.filter((each) => JSON.stringify(identityOf(each)) === of && !each.options.dry_run && !each.options.preview)); }, () => { if (here) setOthers([]); });
    return () => { here = false; };
  }, [job.id, of]);
  return useMemo(() => {
    if (!others) return null;
    const all = [...others.filter((each) => each.id !== job.id), job];
    return all.sort((one, other) => (one.created_at < other.created_at ? -1 : 1));
  }, [others, job.id]);
}

const identityOf = (job) => [job.uploads.map((each) => each.id ?? `${each.job}/${each.file ?? each.name}`), job.options.stems_in ?? null];

const masterOf = (job) => {
  const masters = job.files.filter((file) => file.role === "master");
  return masters.find((file) => file.name.endsWith(".wav")) ?? masters[0];
};

const MOST_SIDES = 9;

function MasterResult({ job, about }) {
  const { result } = job, known = useVersions(job), versions = known ?? [job], report = useReport(job.id);
  const [player, setPlayer] = useState(null);
  const shown = versions.slice(-MOST_SIDES);
  const numberOf = (each) => versions.indexOf(each) + 1;
  const before = useBefore(job);
  const sides = [
    ...(before ? [{ ...before, lufs: result.before.integrated_lufs, shiftS: trimmedS(report) }] : []),
    ...shown.map((each) => sideOf(each, versions.length > 1 ? j.version(numberOf(each)) : j.after, numberOf(each))),
  ];
  const isReady = known && report !== undefined && before !== undefined;
  const master = masterOf(job);
  const key = sides.map((side) => side.url).join(" ");
  return html`<${Verdict} result=${result} />
    <${Headline} before=${result.before} after=${result.after} />
    <section aria-labelledby="listen-title"><h2 id="listen-title">${j.listen}</h2><p class="lead">${j.listenLead}</p>
      ${isReady && master ? html`<${Player} key=${key} sides=${sides} lengthS=${master.audio.duration_s} rate=${master.audio.rate_hz} first=${job.id} onReady=${setPlayer} />`
        : html`<div class="player-space" aria-busy="true"></div>`}
      <${Tools} job=${job} about=${about} />
    </section>
    ${versions.length > 1 && html`<${Versions} versions=${versions} here=${job} />`}
    ${job.state === "done" && master && !job.options.preview && html`<${Rating} job=${job} label=${versions.length > 1 ? j.version(numberOf(job)) : j.after}
      others=${shown.filter((each) => each.id !== job.id).map((each) => ({ id: each.id, label: j.version(numberOf(each)) })).reverse()} />`}
    <section class="overview" aria-label=${j.done}>
      <div><h2>${j.wrong}</h2><${List} lines=${result.summary} none=${j.nothingWrong} />
        ${result.left?.length > 0 && html`<h2 class="left">${j.left}</h2><${List} lines=${result.left} />`}</div>
      <div><h2>${j.done}</h2><${List} lines=${result.done} none=${j.nothingDone} /></div>
    </section>
    <${Warnings} lines=${result.warnings} />
    <section class="tweak" aria-labelledby="tweak-title"><h2 id="tweak-title">${j.tweak}</h2><p class="lead">${j.tweakLead}</p><${Tweak} job=${job} /></section>
    ${job.files.some((file) => file.role === "stem") && html`<section aria-labelledby="stems-title"><h2 id="stems-title">${j.stems}</h2><p class="lead">${j.stemsLead}</p><${Mixer} job=${job} plain /></section>`}
    ${report && html`<${Charts} report=${report} />`}
    ${player && sides.length > 1 && html`<${BlindTest} key=${key} player=${player} sides=${sides} />`}
    <${Downloads} job=${job} />`;
}

const trimmedS = (report) => report?.preview?.start_s ?? report?.edits?.trimmed_start_s ?? 0;

function sideOf(job, label, n) {
  const master = masterOf(job);
  return { name: job.id, label, colour: n === 1 ? "after" : `side-${((n + 1) % 10) + 1}`, url: master.url, peaksUrl: master.peaks_url, lufs: job.result.after?.integrated_lufs };
}

/** The song as it came: null for tracks that were never one; undefined until it is known. */
function useBefore(job) {
  const [before, setBefore] = useState(undefined);
  const stem = job.options.stems_in?.[0]?.job;
  useEffect(() => {
    const whole = job.uploads[0];
    const side = (url) => ({ name: "before", label: j.before, colour: "before", url: `${url}${url.startsWith("/v1/uploads") ? "/content" : ""}`, peaksUrl: `${url}/peaks` });
    const ofUpload = (id) => get(`/v1/uploads/${id}`).then(() => setBefore(side(`/v1/uploads/${id}`)), () => setBefore(null));
    if (whole?.id) ofUpload(whole.id);
    else if (whole?.job) setBefore(side(`/v1/jobs/${whole.job}/files/${encodeURIComponent(whole.file ?? whole.name)}`));
    else if (stem) get(`/v1/jobs/${stem}`).then((made) => ofUpload(made.uploads[0]?.id), () => setBefore(null));
    else setBefore(null);
  }, [job.id]);
  return before;
}

/** The report as JSON: null where there is none, undefined until it is here. */
function useReport(id) {
  const [report, setReport] = useState(undefined);
  useEffect(() => {
    let here = true;
    setReport(undefined);
    get(`/v1/jobs/${id}/report`).then((found) => { if (here) setReport(found); }, () => { if (here) setReport(null); });
    return () => { here = false; };
  }, [id]);
  return report;
}

const List = ({ lines, none = "" }) => html`<ul>${lines?.length ? lines.map((line) => html`<li>${line}</li>`) : html`<li>${none}</li>`}</ul>`;

const Warnings = ({ lines }) => lines?.length > 0 && html`<section class="warnings" aria-labelledby="warnings-title"><h2 id="warnings-title">${j.warnings}</h2><ul>${lines.map((line) => html`<li>${line}</li>`)}</ul></section>`;

const formatOf = (file) => file.name.split(".").at(-1).toUpperCase();

/** What is done most with a result. */
function Tools({ job, about }) {
  const [isSharing, setSharing] = useState(false);
  const masters = job.files.filter((file) => file.role === "master");
  const hasPage = job.files.some((file) => file.role === "page");
  return html`<div class="tools">
    ${masters.map((file, k) => html`<a class=${k === 0 ? "primary" : "plain-button"} href=${`${file.url}?download=1`} download>${masters.length > 1 || k ? j.downloadAs(formatOf(file)) : j.download} <span class="unit">${size(file.bytes)}</span></a>`)}
    ${hasPage ? html`<a class="plain-button" href="/v1/jobs/${job.id}/page" target="_blank" rel="noopener">${j.page}</a>`
      : !isFinal(job) && html`<button type="button" class="plain-button" disabled aria-busy="true">${j.pageComes}</button>`}
    <button type="button" class="plain-button" onClick=${() => setSharing(true)}>${j.share}</button>
    ${isSharing && html`<${Share} job=${job} about=${about} onClose=${() => setSharing(false)} />`}</div>`;
}

function Tweak({ job }) {
  const [value, setValue] = useState(() => choicesOf(job.options)), [problem, setProblem] = useState(null);
  const kept = Object.fromEntries(Object.entries(job.options).filter(([name]) => ["stems_in", "roles", "align", "balance"].includes(name)));
  return html`<${Choices} id="tweak" value=${value} change=${(values) => setValue((old) => ({ ...old, ...values }))} />
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <div class="tools"><${Action} class="primary" run=${() => { setProblem(null); return again(job, { ...kept, ...optionsOf(value) }); }} onProblem=${setProblem}>${j.again}<//></div>`;
}

const Versions = ({ versions, here }) => html`<section aria-labelledby="versions-title"><h2 id="versions-title">${j.versions}</h2><p class="lead">${j.versionsLead}</p>
  <ol class="versions-list">${versions.map((each, k) => html`<li class=${each.id === here.id ? "here" : ""} key=${each.id}>
    <a href="#/jobs/${each.id}" aria-current=${each.id === here.id ? "page" : undefined}><b>${j.version(k + 1)}</b></a>
    <span>${optionWords(each.options, j.plainSettings)}</span><span class="soft">${number(each.result.after?.integrated_lufs)} LUFS</span>
    <span class="soft">${each.id === here.id ? j.thisOne : ""}</span></li>`)}</ol></section>`;

function Downloads({ job }) {
  const roles = ["master", "stem", "cue", "page", "report"];
  const label = (file) => ({ report: j.reportJson, page: j.reportPage }[file.role] ?? (file.stem ? texts.stems.names[file.stem] ?? file.stem : formatOf(file)));
  const files = [...job.files].sort((one, other) => roles.indexOf(one.role) - roles.indexOf(other.role));
  const settings = `data:application/json;charset=utf-8,${encodeURIComponent(JSON.stringify({ kind: job.kind, options: job.options }, null, 2))}`;
  const { result } = job;
  return html`<section class="downloads" aria-labelledby="downloads-title"><h2 id="downloads-title">${j.downloads}</h2><p class="lead">${j.downloadsLead}</p>
    <ul class="file-list">${files.map((file) => html`<li key=${file.name}><a href=${`${file.url}?download=1`} download>${file.name}</a> <span class="soft">${label(file)}</span> <span class="soft">${size(file.bytes)}</span></li>`)}
      <li><a href=${settings} download="${titleOf(job.name)}.settings.json">${titleOf(job.name)}.settings.json</a> <span class="soft">${j.settings}</span> <span></span></li></ul>
    <p class="hint">${[j.made(`${result.engine_name} ${result.engine_version}`, duration(result.runtime_seconds), result.device), job.cached && j.cached, models(result.model_name) && j.model(models(result.model_name))].filter(Boolean).join(" · ")}</p>
    <p><${Action} class="danger" run=${async () => { await erase(job.id); goTo("history"); }}>${j.remove}<//></p></section>`;
}

/** Models by name, without the one that says that there was none. */
const models = (names) => (names ?? "").split(", ").filter((name) => name && name !== "none").join(", ");

function AlbumResult({ job }) {
  const { result } = job, report = useReport(job.id), [at, setAt] = useState(0);
  const masters = job.files.filter((file) => file.role === "master");
  if (report === undefined) return html`<div class="player-space" aria-busy="true"></div>`;
  const rows = report?.songs ?? [];
  const rowOf = (file) => rows.find((row) => Object.values(row.files ?? {}).concat(Object.keys(row.files ?? {})).some((path) => path.endsWith(file.name)));
  const file = masters[at], row = file && rowOf(file);
  const upload = job.uploads[row ? rows.indexOf(row) : at];
  const sides = file && [
    ...(upload?.id ? [{ name: "before", label: j.before, colour: "before", url: `/v1/uploads/${upload.id}/content`, peaksUrl: `/v1/uploads/${upload.id}/peaks`, lufs: row?.before?.integrated_lufs }] : []),
    { name: "after", label: j.after, colour: "after", url: file.url, peaksUrl: file.peaks_url, lufs: row?.after?.integrated_lufs },
  ];
  return html`<${Verdict} result=${result} />
    <section aria-labelledby="listen-title"><h2 id="listen-title">${j.songs}</h2><p class="lead">${j.listenLead}</p>
      <ol class="versions-list songs-of-album">${masters.map((each, k) => html`<li class=${k === at ? "here" : ""} key=${each.name}><button type="button" class="quiet" aria-pressed=${k === at} onClick=${() => setAt(k)}><b>${titleOf(each.name)}</b></button>
        <span>${clock(each.audio.duration_s)}</span><span class="soft">${number(rowOf(each)?.before?.integrated_lufs)} → ${number(rowOf(each)?.after?.integrated_lufs)} LUFS</span>
        <a href=${`${each.url}?download=1`} download>${j.download}</a></li>`)}</ol>
      ${file && html`<${Player} key=${file.url} sides=${sides} lengthS=${file.audio.duration_s} rate=${file.audio.rate_hz} first="after" />`}
      <div class="tools">${job.files.some((each) => each.role === "page") && html`<a class="plain-button" href="/v1/jobs/${job.id}/page" target="_blank" rel="noopener">${j.page}</a>`}</div>
    </section>
    <section class="overview one" aria-labelledby="done-title"><h2 id="done-title">${j.done}</h2><${List} lines=${result.done} none=${j.nothingDone} /></section>
    <${Warnings} lines=${result.warnings} />
    <${Downloads} job=${job} />`;
}
