/* Where the service has accounts: a name and a password, an API key, or a provider that knows one. */
import { address, get, post } from "../api.js";
import { Heading } from "../parts.js";
import { texts } from "../texts.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";

const s = texts.signIn;

/** `failed` is the code of a sign-in by a provider that came to nothing. */
export function SignIn({ onDone, failed }) {
  const [offered, setOffered] = useState(null), [way, setWay] = useState(null);
  const [problem, setProblem] = useState(failed ? s.failed[failed] ?? s.failed.other : null), [isBusy, setBusy] = useState(false);
  const form = useRef();
  useEffect(() => { get("/v1/session").then((found) => { setOffered(found); setWay(found.ways[0]); }, (each) => setProblem(each.message)); }, []);
  async function submit(event) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form.current));
    setProblem(null);
    setBusy(true);
    try {
      await post("/v1/session", way === "key" ? { key: given.key.trim() } : given);
      onDone();
    } catch (each) {
      setProblem(each.status === 429 && each.retryAfterS ? s.later(Math.ceil(each.retryAfterS / 60)) : each.code === "sign_in" ? s.wrong : each.code === "key" ? s.wrongKey : each.message);
      form.current.querySelector("input[type=password]").select();
    }
    setBusy(false);
  }
  const other = offered?.ways.find((each) => each !== way);
  return html`<form class="sign-in" ref=${form} onSubmit=${submit} aria-describedby=${problem ? "sign-in-problem" : undefined}>
    <${Heading}>${s.title}<//><p class="lead">${way === "key" ? s.leadKey : s.lead}</p>
    ${problem && html`<p class="problem" id="sign-in-problem" role="alert">${problem}</p>`}
    ${way === "password" && html`<${Field} id="name" label=${s.name} complete="username" /><${Field} id="password" label=${s.password} complete="current-password" />`}
    ${way === "key" && html`<${Field} id="key" label=${s.key} complete="off" />`}
    ${way && html`<button type="submit" class="primary" aria-busy=${isBusy} disabled=${isBusy}>${s.go}</button>`}
    ${offered?.openid && html`<a class="plain-button" href=${address(offered.openid.url)}>${s.openid(offered.openid.label)}</a>`}
    ${other && html`<button type="button" class="quiet" onClick=${() => { setProblem(null); setWay(other); }}>${s.instead[other]}</button>`}
  </form>`;
}

export const Field = ({ id, label, complete, hint }) => html`<div class="field"><label for=${id}>${label}</label>
  <input id=${id} name=${id} type=${id === "name" ? "text" : "password"} autocomplete=${complete} autocapitalize="none" spellcheck="false" required aria-describedby=${hint ? `${id}-hint` : undefined} />
  ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}</div>`;
