/* A link for others, which expires. */
import { address, post } from "../api.js";
import { when } from "../format.js";
import { Action, Dialog } from "../parts.js";
import { texts } from "../texts.js";
import { html, useRef, useState } from "../vendor/preact.js";

const s = texts.share, DAYS = [1, 7, 30, 90], DAY_S = 86400;

export function Share({ job, about, onClose }) {
  const page = job.files.some((file) => file.role === "page");
  const sounds = job.files.filter((file) => file.role === "master" || file.role === "stem");
  // A page that is still being written comes while this is open.
  const [chosen, setFile] = useState(null), [days, setDays] = useState(7), file = chosen ?? (page ? "" : sounds[0]?.name ?? "");
  const [link, setLink] = useState(null), [problem, setProblem] = useState(null), [copied, setCopied] = useState(false);
  const field = useRef();
  async function make() {
    setProblem(null);
    setLink(await post(`/v1/jobs/${job.id}/links`, { ...(file ? { file } : {}), expires_s: days * DAY_S }));
    setCopied(false);
  }
  async function copy() {
    field.current.select();
    try { await navigator.clipboard.writeText(field.current.value); } catch { document.execCommand("copy"); }
    setCopied(true);
  }
  return html`<${Dialog} title=${s.title} onClose=${onClose}>
    <p class="lead">${s.lead}</p>
    <div class="field"><label for="share-what">${s.what}</label><select id="share-what" value=${file} onChange=${(event) => { setFile(event.target.value); setLink(null); }}>
      ${page && html`<option value="">${s.page}</option>`}${sounds.map((each) => html`<option value=${each.name}>${each.name}</option>`)}</select></div>
    <div class="field"><label for="share-days">${s.days}</label><select id="share-days" value=${days} onChange=${(event) => { setDays(Number(event.target.value)); setLink(null); }}>
      ${DAYS.map((n) => html`<option value=${n}>${s.day(n)}</option>`)}</select></div>
    ${link && html`<div class="field"><label for="share-link">${s.link}</label><div class="pair"><input id="share-link" ref=${field} type="text" readonly value=${address(link.url)} />
      <button type="button" class="plain-button" onClick=${copy}>${copied ? s.copied : s.copy}</button></div>
      <p class="hint" role="status">${s.until(when(link.expires_at))}${about.accounts ? "" : ` ${s.localOnly}`}</p></div>`}
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <div class="tools"><${Action} class="primary" run=${make} onProblem=${setProblem}>${s.make}<//><button type="button" class="plain-button" onClick=${onClose}>${texts.close}</button></div>
  <//>`;
}
