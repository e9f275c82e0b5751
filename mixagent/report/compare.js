"use strict";
/* A comparison: its player, what the charts read, and blind tests that keep score. */
(() => {
  const { clock, fixed, band, bandDb, readout } = listening;
  const { MODES, pairs } = blindTesting;
  const find = (id) => document.getElementById(id);
  const report = JSON.parse(find("report").textContent);
  const { files } = report;
  const byName = Object.fromEntries(files.map((file) => [file.letter, file]));
  const root = find("player");

  readouts();
  if (root) {
    const player = listening.attach(root);
    root.addEventListener("heard", (event) => focus(event.detail));
    focus(player.side());
    blindTests(player);
  }

  /* The lines of the version that plays, in front of the others; none in a blind test. */
  function focus(name) {
    const kind = name && `side-${files.indexOf(byName[name]) + 1}`;
    for (const plot of document.querySelectorAll("#spectrum .plot, #loudness .plot")) {
      plot.classList.toggle("focused", Boolean(name));
      for (const path of plot.querySelectorAll("path")) path.classList.toggle("focus", path.classList.contains(kind));
    }
  }

  function readouts() {
    const analyses = files.map((file) => file.analysis);
    readout("spectrum", find("tone-readout"), (share) => {
      const [k, label] = band(analyses, share);
      return `${label}: ${files.map((file, n) => `${file.letter} ${fixed(bandDb(analyses[n], k))}`).join(", ")} dB`;
    });
    const curves = report.short_term_lufs;
    const [start, stop] = files[0].span_s;
    readout("loudness", find("loudness-readout"), (share) => {
      const second = Math.floor(share * (stop - start));
      const read = (n) => (curves[n][second] === null || curves[n][second] === undefined ? "–" : fixed(curves[n][second]));
      return `${clock(second)}: ${files.map((file, n) => `${file.letter} ${read(n)}`).join(", ")} LUFS`;
    });
  }

  function blindTests(player) {
    const [setup, run, result, save, trialText, answers, problem] =
      ["blind-setup", "blind-run", "blind-result", "blind-save", "blind-trial", "blind-answers", "blind-problem"].map(find);
    const hearButtons = [...run.querySelectorAll("[data-hear]")];
    const sessions = [];
    const ANSWERS = { abx: ["X is A", "X is B"], preference: ["A is better", "B is better", "No difference"] };
    let session = null, trial = null, begun = 0, before = null;

    function start(event) {
      event.preventDefault();
      const mode = setup.elements.mode.value, count = Number(find("blind-trials").value);
      const pair = [find("blind-first").value, find("blind-second").value];
      if (mode === "abx" && pair[0] === pair[1]) {
        problem.textContent = "Choose two different versions.";
        return;
      }
      problem.textContent = "";
      const drawn = mode === "abx" ? Array.from({ length: count }, () => pair) : pairs(player.sides, count);
      session = { mode, pair: mode === "abx" ? pair : null, planned: drawn, begun: new Date().toISOString(), trials: [] };
      before = player.side();
      result.textContent = "";
      setup.hidden = true;
      run.hidden = false;
      for (const button of hearButtons) button.hidden = !MODES[mode].hear.includes(button.dataset.hear);
      answers.replaceChildren(...ANSWERS[mode].map((words, k) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `${k + 1}  ${words}`;
        button.addEventListener("click", () => answer(k));
        return button;
      }));
      player.setBlind(true);
      focus(null);
      next();
      player.play();
    }

    function next() {
      const done = session.trials.length;
      if (done === session.planned.length) { finish(); return; }
      trial = MODES[session.mode].trial(session.planned[done]);
      begun = performance.now();
      const pair = session.pair ? `: A is ${called(trial.A)}, B is ${called(trial.B)}` : "";
      trialText.textContent = `Trial ${done + 1} of ${session.planned.length}${pair}`;
      hear("A");
      // Not on a button, which the space bar would press again.
      trialText.focus();
    }

    function hear(letter) {
      player.choose(trial[letter]);
      for (const button of hearButtons) button.setAttribute("aria-pressed", String(button.dataset.hear === letter));
    }

    function answer(k) {
      const seconds = Math.round(performance.now() - begun) / 1000;
      const judged = MODES[session.mode].judge(trial, k);
      session.trials.push({ trial: session.trials.length + 1, a: trial.A, b: trial.B, ...judged, seconds });
      next();
    }

    function finish() {
      const { mode, pair, begun: when, trials } = session;
      if (trials.length) {
        const score = MODES[mode].score(trials, player.sides);
        sessions.push({ session: sessions.length + 1, mode, pair, begun: when, ended: new Date().toISOString(), ...score, trials });
      }
      trial = session = null;
      player.setBlind(false);
      player.choose(before);
      run.hidden = true;
      setup.hidden = false;
      save.hidden = !sessions.length;
      result.replaceChildren(...(trials.length ? told(sessions.at(-1)) : [paragraph("lead", "No trial was answered.")]));
      setup.querySelector("button").focus();
    }

    const paragraph = (kind, words) => Object.assign(document.createElement("p"), { className: kind, textContent: words });
    const called = (name) => `${byName[name].letter} ${byName[name].name}`;
    const chance = (p) => (p < 0.001 ? "less than 0.001" : p.toFixed(3));

    function told(done) {
      if (done.mode === "abx") {
        const verdict = done.p < 0.05
          ? "Whoever guesses reaches this less than once in twenty times: a difference was heard."
          : "Whoever guesses reaches this often enough: this test shows no difference that was heard.";
        return [
          paragraph("score", `${done.correct} of ${done.count} right, p = ${chance(done.p)}`),
          paragraph("lead", `${called(done.pair[0])} against ${called(done.pair[1])}. ${verdict}`),
        ];
      }
      const order = Object.entries(done.wins).sort((one, other) => other[1] - one[1]);
      return [
        paragraph("score", order.map(([name, wins]) => `${called(name)}: ${wins}`).join(" · ")),
        ...done.pairs.map(({ versions: [one, other], wins, ties, p }) => paragraph("lead",
          `${called(one)} ${wins[0]} : ${wins[1]} ${called(other)}, ${ties} without a difference, p = ${chance(p)}`)),
      ];
    }

    function exported() {
      const kept = ({ letter, name, sha256, match_db, later_s }) => ({ letter, name, sha256, match_db, later_s });
      return { schema: "mixagent.listening/1", version: report.version, files: files.map(kept), sessions };
    }

    function csv() {
      const rows = sessions.flatMap(({ session: number, mode, trials }) => trials.map((each) =>
        [number, mode, each.trial, each.a, each.b, each.x ?? "", each.answer ?? "", each.correct ?? "", each.seconds]));
      return ["session,mode,trial,a,b,x,answer,correct,seconds", ...rows.map((row) => row.join(","))].join("\r\n") + "\r\n";
    }

    function download(name, type, text) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    function keys(event) {
      if (!session || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const letter = event.key.toUpperCase(), place = Number(event.key) - 1;
      if (MODES[session.mode].hear.includes(letter)) hear(letter);
      else if (place >= 0 && place < ANSWERS[session.mode].length) answer(place);
      else return;
      event.preventDefault();
    }

    for (const button of hearButtons) button.addEventListener("click", () => hear(button.dataset.hear));
    for (const radio of setup.elements.mode) {
      radio.addEventListener("change", () => { find("blind-pair").hidden = setup.elements.mode.value !== "abx"; });
    }
    setup.addEventListener("submit", start);
    find("blind-stop").addEventListener("click", finish);
    find("save-json").addEventListener("click", () => download("listening.json", "application/json", JSON.stringify(exported(), null, 2)));
    find("save-csv").addEventListener("click", () => download("listening.csv", "text/csv", csv()));
    document.addEventListener("keydown", keys, true);

    find("blind").exported = exported;
    find("blind").csv = csv;
  }
})();
