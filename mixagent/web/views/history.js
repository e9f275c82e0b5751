/* All that was made, with search; what is deleted is gone. */
import { get, remove } from "../api.js";
import { desk, change } from "../desk.js";
import { titleOf, when } from "../format.js";
import { erase, isFinal } from "../live.js";
import { Action, Dialog, Heading, Note, say } from "../parts.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { optionWords } from "./choices.js";
import { kindOf } from "./job.js";

const h = texts.history, LIMIT = 30, REST_MS = 200;

export function History() {
  const [search, setSearch] = useState(""), [kind, setKind] = useState("");
  const [rows, setRows] = useState(null), [next, setNext] = useState(null), [problem, setProblem] = useState(null), [doomed, setDoomed] = useState(null);
  const ask = async (after) => {
    const query = new URLSearchParams({ limit: String(LIMIT), ...(search.trim() ? { search: search.trim() } : {}), ...(kind ? { kind } : {}), ...(after ? { after } : {}) });
    const found = await get(`/v1/jobs?${query}`);
    const whole = found.jobs.filter((job) => !job.options.dry_run && !job.options.preview);
    setRows((old) => (after ? [...old, ...whole] : whole));
    setNext(found.next);
  };
  useEffect(() => {
    const timer = setTimeout(() => { setProblem(null); ask(null).catch(setProblem); }, rows ? REST_MS : 0);
    return () => clearTimeout(timer);
  }, [search, kind]);
  const gone = (job) => {
    setRows((old) => old.filter((each) => each.id !== job.id));
    setDoomed(null);
    say(h.removed(titleOf(job.name)));
  };
  return html`<div class="history"><${Heading}>${h.heading}<//><p class="lead">${h.lead}</p>
    <div class="field-row" role="search"><div class="field grow"><label for="history-search">${h.search}</label><input id="history-search" type="search" placeholder=${h.searchHint} value=${search} onInput=${(event) => setSearch(event.target.value)} /></div>
      <div class="field"><label for="history-kind">${h.kind}</label><select id="history-kind" value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="">${h.anyKind}</option>
        ${Object.entries(texts.job.kinds).map(([name, label]) => html`<option value=${name}>${label}</option>`)}</select></div></div>
    ${problem && html`<${Note} detail=${problem.message} />`}
    ${rows && !rows.length && html`<p class="lead" role="status">${search || kind ? h.noneFound : h.none}</p>`}
    <ul class="history-list" aria-busy=${!rows}>${(rows ?? []).map((job) => html`<li key=${job.id}>
      <a href="#/jobs/${job.id}"><b>${job.kind === "album" ? texts.job.album(job.uploads.length) : titleOf(job.name)}</b></a><span>${kindOf(job)} · ${optionWords(job.options)}</span>
      <span class="state ${job.state}">${h.state[job.state]}</span><span class="soft">${when(job.created_at)}</span>
      <button type="button" class="icon-button" aria-label=${h.remove(titleOf(job.name))} onClick=${() => setDoomed(job)}>×</button></li>`)}</ul>
    ${next && html`<p><${Action} class="plain-button" run=${() => ask(next)} onProblem=${setProblem}>${h.more}<//></p>`}
    ${doomed && html`<${Delete} job=${doomed} onClose=${() => setDoomed(null)} onGone=${gone} />`}
  </div>`;
}

function Delete({ job, onClose, onGone }) {
  const uploads = job.uploads.map((each) => each.id).filter(Boolean);
  const [alsoUpload, setAlso] = useState(false), [problem, setProblem] = useState(null);
  async function run() {
    await erase(job.id);
    for (const song of desk.value.songs) if (song.jobs.includes(job.id)) change(song.key, { jobs: song.jobs.filter((id) => id !== job.id) });
    if (alsoUpload) for (const id of uploads) await remove(`/v1/uploads/${id}`).catch((each) => { if (each.status !== 404) throw each; });
    if (alsoUpload) desk.set((all) => ({ ...all, songs: all.songs.filter((song) => !uploads.includes(song.upload?.id)) }));
    onGone(job);
  }
  return html`<${Dialog} title=${h.removeTitle(titleOf(job.name))} onClose=${onClose}><p class="lead">${h.removeLead}${isFinal(job) ? "" : ` ${texts.progress.stopping}`}</p>
    ${uploads.length > 0 && html`<label class="switch"><input type="checkbox" checked=${alsoUpload} onChange=${(event) => setAlso(event.target.checked)} /> ${h.removeUpload}</label>`}
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <div class="tools"><${Action} class="danger solid" run=${run} onProblem=${setProblem}>${texts.job.remove}<//><button type="button" class="plain-button" onClick=${onClose}>${h.keep}</button></div><//>`;
}
