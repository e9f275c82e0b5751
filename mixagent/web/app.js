/* The page: what is around its views. */
import { get, onSignIn, remove } from "./api.js";
import { loadOffered } from "./choices.js";
import { drop as dropOnDesk, wake } from "./desk.js";
import { drop as dropApart } from "./apart.js";
import { titleOf } from "./format.js";
import { ended } from "./live.js";
import { Note, say } from "./parts.js";
import { goTo, route } from "./route.js";
import { useStore } from "./store.js";
import { texts } from "./texts.js";
import { html, render, useEffect, useState } from "./vendor/preact.js";
import { Account } from "./views/account.js";
import { Desk } from "./views/desk.js";
import { filesOf } from "./views/drop.js";
import { History } from "./views/history.js";
import { JobPage } from "./views/job.js";
import { SignIn } from "./views/signin.js";
import { Stems } from "./views/stems.js";

const PAGES = [["", texts.nav.master], ["stems", texts.nav.stems], ["history", texts.nav.history]];

function App() {
  const [about, setAbout] = useState(null), [problem, setProblem] = useState(null), [isAsked, setAsked] = useState(false);
  const [page, id] = useStore(route);
  const load = () => get("/v1").then((found) => {
    setAbout(found);
    setAsked(false);
    setProblem(null);
    loadOffered().catch(() => {});
    wake();
  }, (each) => { if (each.status !== 401) setProblem(each); });
  useEffect(() => { onSignIn(() => setAsked(true)); load(); }, []);
  useEffect(() => { document.title = texts.title(PAGES.find(([path]) => path === page)?.[1]); }, [page]);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>${texts.nav.skip}</a>
    <${Header} page=${page ?? ""} />
    <main id="main" tabindex="-1">${isAsked ? html`<${SignIn} failed=${page === "sign-in" ? id : null} onDone=${() => { if (page === "sign-in") goTo(""); load(); }} />` : problem ? html`<${Lost} again=${load} />` : about && html`<${View} page=${page} id=${id} about=${about} />`}</main>
    <${Footer} about=${about} />
    <p class="sr" id="said" role="status" aria-live="polite"></p>
    <${Catch} isStems=${page === "stems"} isOff=${!about || isAsked} />`;
}

function View({ page, id, about }) {
  if (page === "jobs" && id) return html`<${JobPage} key=${id} id=${id} about=${about} />`;
  if (page === "stems") return html`<${Stems} about=${about} />`;
  if (page === "history") return html`<${History} />`;
  if (page === "account" && about.accounts) return html`<${Account} about=${about} />`;
  return html`<${Desk} about=${about} />`;
}

function Lost({ again }) {
  useEffect(() => {
    const timer = setInterval(again, 3000);
    return () => clearInterval(timer);
  }, []);
  return html`<${Note} title=${texts.errors.startLost} detail=${texts.errors.offline} />`;
}

const Header = ({ page }) => html`<header class="bar-top"><div class="bar-in">
  <a class="brand" href="#/"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" /><path d="M7 14v4M13 9v14M19 12v8M25 7v18" /></svg>${texts.brand}</a>
  <nav aria-label=${texts.nav.label}>${PAGES.map(([path, label]) => html`<a href="#/${path}" aria-current=${page === path ? "page" : undefined}>${label}</a>`)}</nav>
  <${Theme} /></div></header>`;

const THEMES = ["system", "light", "dark"];

function Theme() {
  const [chosen, setChosen] = useState(document.documentElement.dataset.theme ?? "system");
  const pick = (name) => {
    setChosen(name);
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    try { localStorage.setItem("mixagent.theme", name); } catch { /* It lasts as long as the page. */ }
  };
  return html`<label class="theme"><span class="sr">${texts.theme.label}</span>
    <select value=${chosen} onChange=${(event) => pick(event.target.value)}>${THEMES.map((name) => html`<option value=${name}>${texts.theme[name]}</option>`)}</select></label>`;
}

const Footer = ({ about }) => html`<footer>${about && html`<p>${about.accounts ? html`${texts.footer.signedIn(about.user)} <a class="quiet" href="#/account">${texts.footer.account}</a> <button type="button" class="quiet" onClick=${signOut}>${texts.footer.signOut}</button>` : texts.footer.local}</p>
  <p>${texts.footer.version(about.engine_name, about.engine_version)}</p>`}</footer>`;

const signOut = () => remove("/v1/session").then(() => location.reload());

/** Takes what is dropped anywhere on the page. */
function Catch({ isStems, isOff }) {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    let depth = 0;
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const enter = (event) => { if (hasFiles(event)) { depth += 1; setOver(!isOff); } };
    const leave = (event) => { if (hasFiles(event)) { depth -= 1; if (depth <= 0) setOver(false); } };
    const over = (event) => { if (hasFiles(event)) event.preventDefault(); };
    const taken = async (event) => {
      depth = 0;
      setOver(false);
      if (event.defaultPrevented || !hasFiles(event)) return;
      event.preventDefault();
      if (isOff) return;
      const files = await filesOf(event.dataTransfer);
      if (!files.length) { say(texts.drop.noneIn); return; }
      if (isStems) dropApart(files);
      else { dropOnDesk(files); goTo(""); }
    };
    const heard = { dragenter: enter, dragleave: leave, dragover: over, drop: taken };
    for (const [kind, call] of Object.entries(heard)) addEventListener(kind, call);
    return () => { for (const [kind, call] of Object.entries(heard)) removeEventListener(kind, call); };
  }, [isStems, isOff]);
  return isOver && html`<div class="catch" aria-hidden="true"><p>${texts.drop.anywhere}</p></div>`;
}

ended.add((job) => {
  if (!job.options.dry_run && !job.options.preview && job.kind !== "analyze") say((job.state === "done" ? texts.progress.done : texts.progress.failed)(titleOf(job.name)));
});

render(html`<${App} />`, document.getElementById("app"));
