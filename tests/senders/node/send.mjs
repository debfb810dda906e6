// Sends CloudEvents with the npm package: one JSON order on standard input, one JSON answer out.
// {url, key, how: "structured" | "binary" | "emitter", event} → {status, refused, body}

import { once } from "node:events";
import { CloudEvent, HTTP, emitterFor, httpTransport } from "cloudevents";

const ATTEMPTS = 20;

let order = "";
process.stdin.on("data", (chunk) => (order += chunk));
await once(process.stdin, "end");
const { url, key, how, event } = JSON.parse(order);
const own = { authorization: `Bearer ${key}` };
const stated = new CloudEvent(event);

// The package's own transport tells no status, and tries once.
async function emitted() {
  const answer = await emitterFor(httpTransport(url))(stated, { headers: own });
  return { refused: 0, body: JSON.parse(answer.body) };
}

// As the CloudEvents webhook specification has it: on a 429 wait as long as it says, and try again.
async function fetched(message) {
  const request = { method: "POST", headers: { ...message.headers, ...own }, body: message.body };
  for (let refused = 0; ; refused++) {
    const answer = await fetch(url, request);
    if (answer.status !== 429 || refused === ATTEMPTS) {
      return { status: answer.status, refused, body: await answer.json() };
    }
    const seconds = Number(answer.headers.get("retry-after"));
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

const said = how === "emitter" ? await emitted() : await fetched(HTTP[how](stated));
process.stdout.write(JSON.stringify(said));
