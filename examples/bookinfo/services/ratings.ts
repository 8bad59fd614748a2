// The ratings service: stars by reviewer, kept in memory.
import type { IncomingMessage } from "node:http";
import { sendJson, serve } from "./service.ts";

const maxBodyBytes = 4096;
const ratingsByProduct = new Map<number, Record<string, number>>();

serve("ratings", async (request, response, url) => {
  const id = /^\/ratings\/(\d+)$/.exec(url.pathname)?.[1];
  if (id === undefined) {
    sendJson(response, 404, { error: "please ask for /ratings/{product id}" });
    return;
  }
  const product = Number(id);
  if (request.method === "POST") {
    const ratings = await readRatings(request);
    if (ratings === undefined) {
      sendJson(response, 400, { error: "please send a JSON object of reviewer to stars" });
      return;
    }
    ratingsByProduct.set(product, ratings);
  }
  sendJson(response, 200, { id: product, ratings: ratingsByProduct.get(product) ?? { Reviewer1: 5, Reviewer2: 4 } });
});

async function readRatings(request: IncomingMessage): Promise<Record<string, number> | undefined> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > maxBodyBytes) return undefined;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const entries = Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === "number");
    return Object.fromEntries(entries);
  } catch {
    return undefined; // not JSON
  }
}
