// Requests to the service. All addresses are relative, so that it may lie below any path.

export class Problem extends Error {
  constructor(error, remedy = "") {
    super(error);
    this.remedy = remedy;
  }
}

const TRIES = 4;
let openGate = async () => {};

// Set what asks the user for the token: a function that resolves when the service has accepted one.
export function onLocked(ask) {
  openGate = ask;
}

export async function ask(address, options = {}) {
  for (let tried = 1; ; tried++) {
    const answer = await send(address, options);
    if (answer.ok) return answer.status === 204 ? null : answer.json();
    const told = await answer.json().catch(() => ({}));
    if (answer.status === 401 && tried < TRIES) {
      await openGate();
    } else if ([429, 503].includes(answer.status) && tried < TRIES) {
      await wait(1000 * Number(answer.headers.get("Retry-After") ?? 1), options.signal);
    } else {
      throw new Problem(told.error ?? `The service answers ${answer.status}.`, told.remedy);
    }
  }
}

// Exchange the token for a cookie; return whether the service accepts it.
export async function unlock(token) {
  const answer = await send("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  return answer.ok;
}

export function search({ query, plus, minus, subject }, k, signal) {
  const terms = { plus, minus, k, ...(query && { query }) };
  if (subject?.file) {
    const form = new FormData();
    form.append("picture", subject.file);
    for (const [name, value] of Object.entries(terms)) for (const one of [value].flat()) form.append(name, one);
    return ask("search/picture", { method: "POST", body: form, signal });
  }
  const body = JSON.stringify({ ...terms, ...(subject && { item: subject.item }) });
  return ask("search", { method: "POST", body, headers: { "Content-Type": "application/json" }, signal });
}

async function send(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service does not answer.", "Check that it is still running.");
  }
}

function wait(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
