/* Where the service has accounts: the key that says who one is. */
import { post } from "../api.js";
import { Heading } from "../parts.js";
import { texts } from "../texts.js";
import { html, useState } from "../vendor/preact.js";

export function SignIn({ onDone }) {
  const [key, setKey] = useState(""), [problem, setProblem] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    setProblem(null);
    try { await post("/v1/session", { key: key.trim() }); onDone(); } catch (each) { setProblem(each); }
  };
  return html`<form class="sign-in" onSubmit=${submit}><${Heading}>${texts.signIn.title}<//><p class="lead">${texts.signIn.lead}</p>
    <div class="field"><label for="key">${texts.signIn.key}</label><input id="key" type="password" autocomplete="current-password" required value=${key} onInput=${(event) => setKey(event.target.value)} /></div>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    <button type="submit" class="primary">${texts.signIn.go}</button></form>`;
}
