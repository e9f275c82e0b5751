/* How far a job is. */
import { isFinal, cancel } from "../live.js";
import { Action, Bar, Note, say, useSeconds } from "../parts.js";
import { texts } from "../texts.js";
import { html } from "../vendor/preact.js";

const p = texts.progress;

/** How much of a job's expected work is done, 0 to 1; null where nothing is known yet. */
export function shareOf(job) {
  const stages = job.progress?.stages ?? [];
  const all = stages.reduce((sum, stage) => sum + (stage.expected_s ?? 0), 0);
  if (job.state === "done") return 1;
  if (job.state === "queued") return 0;
  if (!stages.length) return null;
  if (all <= 0) return stages.filter((stage) => stage.state === "done").length / stages.length;
  return stages.reduce((sum, stage) => sum + (stage.expected_s ?? 0) * (isOver(stage) ? 1 : stage.share ?? 0), 0) / all;
}

const isOver = (stage) => ["done", "skipped", "cached"].includes(stage.state);

export function duration(seconds) {
  if (seconds < 90) return p.seconds(seconds < 10 ? Math.max(Math.round(seconds), 1) : 5 * Math.round(seconds / 5));
  return seconds < 5400 ? p.minutes(Math.round(seconds / 60)) : p.hours((seconds / 3600).toFixed(1));
}

/** The time left in words, which runs down between two messages. */
export function Left({ job }) {
  const passed = useSeconds(job.heardAt, !isFinal(job));
  if (job.left_s === null || job.left_s === undefined) return html`<span>${job.state === "running" ? p.leftUnknown : ""}</span>`;
  const left = job.left_s - passed;
  return html`<span>${left < 1 ? p.overdue : p.left(duration(left))}</span>`;
}

export const stageName = (name) => {
  const [plain, stem] = [name, name.split(" ").at(-1)];
  const known = texts.stage[plain] ?? texts.stage[plain.split(" ")[0]] ?? plain;
  return texts.stems.names[stem] ? `${known}: ${texts.stems.names[stem].toLowerCase()}` : known;
};

const Stages = ({ stages }) => html`<details class="stage-list"><summary>${p.stages}</summary>
  <ol>${stages.map((stage) => html`<li class=${stage.state} key=${stage.name}><span>${stageName(stage.name)}</span><span class="unit">${p.stageState[stage.state] ?? stage.state}</span></li>`)}</ol></details>`;

/** A job on its way: how far, what now, how long, and a way to stop it. */
export function Progress({ job }) {
  const share = shareOf(job), now = job.progress?.stage;
  return html`<div class="progress" data-state=${job.state}>
    <p class="progress-now"><strong>${job.state === "queued" ? p.queued : now ? stageName(now) : p.running}</strong>
      <span class="soft">${job.state === "queued" && job.place !== null ? `${p.place(job.place)}. ` : ""}<${Left} job=${job} /></span></p>
    <${Bar} share=${share} label=${p.running} />
    <div class="progress-foot"><${Action} class="plain-button" run=${() => cancel(job.id)} disabled=${job.cancel_asked} onProblem=${(each) => say(each.message)}>${job.cancel_asked ? p.stopping : p.stop}<//>
      <span class="hint">${p.stay}</span></div>
    ${job.progress?.stages?.length > 0 && html`<${Stages} stages=${job.progress.stages} />`}
  </div>`;
}

/** A job on one line. */
export const ProgressLine = ({ job }) => html`<div class="progress-line">
  <${Bar} share=${shareOf(job)} label=${p.running} />
  <span class="soft">${job.state === "queued" ? (job.place === null ? p.queued : p.place(job.place)) : html`<${Left} job=${job} />`}</span></div>`;

export const Failed = ({ job, children }) => html`<${Note} title=${job.state === "cancelled" ? texts.job.cancelledTitle : texts.job.failedTitle}
  detail=${job.state === "cancelled" ? "" : job.problem?.detail}>${children}<//>`;
