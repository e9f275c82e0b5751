/* Better or worse: a master against the song as it came, and against its other versions. */
import { get, post, remove } from "../api.js";
import { say } from "../parts.js";
import { texts } from "../texts.js";
import { html, useEffect, useState } from "../vendor/preact.js";

const r = texts.rating, INPUT = "input", OTHER = { better: "worse", worse: "better" };

/** `others` are the versions to compare with: `{ id, label }`, the newest first. */
export function Rating({ job, label, others }) {
  const [said, setSaid] = useState(null), [problem, setProblem] = useState(null);
  const load = () => get(`/v1/jobs/${job.id}/ratings`).then(({ ratings }) => setSaid(ratings), setProblem);
  useEffect(() => { setSaid(null); load(); }, [job.id]);
  const about = [{ id: INPUT, label: r.original }, ...others];
  return html`<section class="ratings" aria-labelledby="rating-title"><h2 id="rating-title">${r.title}</h2><p class="lead">${r.lead}</p>
    ${about.map((each) => html`<${Row} key=${each.id} job=${job} label=${label} other=${each} said=${said && heardOf(said, job.id, each.id)} load=${load} onProblem=${setProblem} />`)}
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}</section>`;
}

/** What was said of two, from the side of the first; undefined where nothing was. */
function heardOf(said, id, other) {
  const one = said.find((each) => each.job === id && each.than === other);
  if (one) return one;
  const turned = said.find((each) => each.job === other && each.than === id);
  return turned && { ...turned, verdict: OTHER[turned.verdict] };
}

function Row({ job, label, other, said, load, onProblem }) {
  const [busy, setBusy] = useState(false), [note, setNote] = useState("");
  useEffect(() => { setNote(said?.note ?? ""); }, [said?.id, said?.note]);
  async function change(work, words) {
    if (busy) return;
    setBusy(true);
    onProblem(null);
    try { await work(); await load(); say(words); } catch (error) { onProblem(error); }
    setBusy(false);
  }
  const put = (verdict, words, why = note) => change(() => post(`/v1/jobs/${job.id}/ratings`, { verdict, than: other.id, note: why }), words);
  const takeBack = () => change(() => remove(`/v1/jobs/${job.id}/ratings/${said.id}`), r.takenBack);
  const legend = r.against(label, other.label), id = `note-${other.id}`;
  return html`<fieldset class="rating" aria-busy=${said === null || busy}><legend>${legend}</legend>
    ${["better", "worse"].map((verdict) => html`<button type="button" class="plain-button" aria-pressed=${said?.verdict === verdict} disabled=${said === null}
      onClick=${() => (said?.verdict === verdict ? takeBack() : put(verdict, r.noted(legend, r[verdict])))}>${r[verdict]}</button>`)}
    ${said && html`<span class="pair"><label class="sr" for=${id}>${r.note}</label><input id=${id} type="text" maxlength="500" placeholder=${r.note} value=${note} onInput=${(event) => setNote(event.target.value)}
      onChange=${(event) => { if (event.target.value !== said.note) put(said.verdict, r.noteKept, event.target.value); }} /></span>
      ${said.source === "correction" && html`<span class="hint">${r.correction}</span>`}`}</fieldset>`;
}
