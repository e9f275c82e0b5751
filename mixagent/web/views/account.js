/* One's own account: the password, and where one is signed in. */
import { ask, get, remove } from "../api.js";
import { when } from "../format.js";
import { Action, Heading, say } from "../parts.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { Field } from "./signin.js";

const s = texts.account;

export function Account({ about }) {
  const [sessions, setSessions] = useState([]), [problem, setProblem] = useState(null);
  const load = () => get("/v1/sessions").then((found) => setSessions(found.sessions), (each) => setProblem(each));
  useEffect(() => { load(); }, []);
  const here = sessions.find((each) => each.this);
  const leave = async () => { await remove("/v1/sessions"); location.reload(); };
  return html`<div class="sign-in"><${Heading}>${s.title(about.user)}<//>
    ${here?.way === "password" && html`<${Password} onDone=${load} />`}
    <h2>${s.sessions}</h2>
    <ul>${sessions.map((each) => html`<li>${s.session(s.ways[each.way] ?? each.way, each.address, when(each.used_at))}${each.this && html` <strong>${s.here}</strong>`}</li>`)}</ul>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <${Action} class="plain-button" run=${leave} onProblem=${setProblem}>${s.everywhere}<//></div>`;
}

function Password({ onDone }) {
  const form = useRef(), [problem, setProblem] = useState(null), [isBusy, setBusy] = useState(false);
  async function submit(event) {
    event.preventDefault();
    const json = Object.fromEntries(new FormData(form.current));
    setProblem(null);
    setBusy(true);
    try {
      await ask("/v1/password", { method: "PUT", json, isOwn: true });
      form.current.reset();
      say(s.changed);
      onDone();
    } catch (each) {
      setProblem(each.code === "sign_in" ? s.wrong : each.message);
      form.current.querySelector("input").select();
    }
    setBusy(false);
  }
  return html`<form class="sign-in-part" ref=${form} onSubmit=${submit}><h2>${s.password}</h2>
    <${Field} id="old" label=${s.old} complete="current-password" /><${Field} id="new" label=${s.new} complete="new-password" hint=${s.rules} />
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    <button type="submit" class="primary" aria-busy=${isBusy} disabled=${isBusy}>${s.change}</button></form>`;
}
