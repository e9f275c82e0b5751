"use strict";
/* Blind tests: what is drawn for each trial, and what the answers come to. */
const blindTesting = (() => {
  /* Chance of `hits` or more of `count` fair coins. */
  function atLeast(hits, count) {
    let term = 0.5 ** count, sum = 0;
    for (let k = 0; k <= count; k += 1) {
      if (k >= hits) sum += term;
      term *= (count - k) / (k + 1);
    }
    return Math.min(sum, 1);
  }

  function random(below) {
    const limit = Math.floor(2 ** 32 / below) * below, word = new Uint32Array(1);
    do crypto.getRandomValues(word); while (word[0] >= limit);
    return word[0] % below;
  }

  function shuffled(items) {
    const mixed = [...items];
    for (let k = mixed.length - 1; k > 0; k -= 1) {
      const other = random(k + 1);
      [mixed[k], mixed[other]] = [mixed[other], mixed[k]];
    }
    return mixed;
  }

  /* All pairs of versions as often as one another, in a random order, until there are enough. */
  function pairs(names, count) {
    const all = names.flatMap((one, k) => names.slice(k + 1).map((other) => [one, other]));
    const drawn = [];
    while (drawn.length < count) drawn.push(...shuffled(all));
    return drawn.slice(0, count).map((pair) => shuffled(pair));
  }

  const MODES = {
    abx: {
      hear: ["A", "B", "X"],
      trial: (pair) => ({ A: pair[0], B: pair[1], X: pair[random(2)] }),
      judge: (heard, answer) => {
        const correct = heard[answer === 0 ? "A" : "B"] === heard.X;
        return { x: heard.X, answer: heard[answer === 0 ? "A" : "B"], correct };
      },
      score: (trials) => {
        const correct = trials.filter((each) => each.correct).length;
        return { correct, count: trials.length, p: atLeast(correct, trials.length) };
      },
    },
    preference: {
      hear: ["A", "B"],
      trial: (pair) => ({ A: pair[0], B: pair[1] }),
      judge: (heard, answer) => ({ answer: [heard.A, heard.B, null][answer] }),
      score: (trials, names) => ({ count: trials.length, ...preferences(trials, names) }),
    },
  };

  /* Wins of each version, and for each pair the two-sided sign test without the ties. */
  function preferences(trials, names) {
    const wins = Object.fromEntries(names.map((name) => [name, 0]));
    const met = {};
    for (const { a, b, answer } of trials) {
      const [one, other] = [a, b].sort();
      const pair = met[`${one}-${other}`] ??= { versions: [one, other], wins: [0, 0], ties: 0 };
      if (answer === null) pair.ties += 1;
      else { pair.wins[answer === one ? 0 : 1] += 1; wins[answer] += 1; }
    }
    for (const pair of Object.values(met)) {
      const count = pair.wins[0] + pair.wins[1];
      pair.p = Math.min(2 * atLeast(Math.max(...pair.wins), count), 1);
    }
    return { wins, pairs: Object.values(met) };
  }

  return { MODES, pairs };
})();
