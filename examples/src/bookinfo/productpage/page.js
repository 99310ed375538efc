// Asks for the reviews with a few workers and draws how many answers each version gave.
(() => {
  const WORKERS = 3, PAUSE_MS = 120, RECENT = 100;
  const panel = document.querySelector("[data-traffic]");
  const toggle = panel.querySelector("[data-toggle]");
  const bars = panel.querySelector("[data-bars]");
  const recent = [];
  let running = false;
  let round = 0; // so that workers of an earlier round stop even when started anew at once

  const pause = () => new Promise((done) => setTimeout(done, PAUSE_MS));

  const whoAnswered = async () => {
    try {
      const response = await fetch("/api/v1/products/0/reviews", { cache: "no-store" });
      if (!response.ok) return `error ${response.status}`;
      const reviews = await response.json();
      return `reviews ${reviews.version || reviews.podname}`;
    } catch {
      return "no answer";
    }
  };

  const draw = () => {
    const counts = new Map();
    for (const who of recent) counts.set(who, (counts.get(who) || 0) + 1);
    bars.replaceChildren(...[...counts.entries()].sort().map(([who, count]) => {
      const share = Math.round((100 * count) / recent.length);
      const row = document.createElement("div");
      const name = document.createElement("span");
      const bar = document.createElement("b");
      const number = document.createElement("span");
      row.className = who.startsWith("reviews ") ? who.slice(8) : "lost";
      name.textContent = who;
      bar.style.width = `${share}%`;
      number.textContent = `${share} % of the last ${recent.length}`;
      const track = document.createElement("i");
      track.append(bar);
      row.append(name, track, number);
      return row;
    }));
  };

  const work = async (mine) => {
    while (running && mine === round) {
      recent.push(await whoAnswered());
      if (recent.length > RECENT) recent.shift();
      draw();
      await pause();
    }
  };

  toggle.addEventListener("click", () => {
    running = !running;
    round += 1;
    toggle.textContent = running ? "Stop" : "Start";
    if (running) for (let worker = 0; worker < WORKERS; worker += 1) work(round);
  });
})();
