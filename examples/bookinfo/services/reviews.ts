// The reviews service in its three versions: v1 calls no ratings, v2 shows black stars, v3 red ones.
// SERVICE_VERSION, ENABLE_RATINGS and STAR_COLOR decide, as in the container images that users know.
import { hostname } from "node:os";
import { forwardHeaders, get, sendJson, serve } from "./service.ts";

const version = process.env["SERVICE_VERSION"] ?? "v1";
const ratingsEnabled = process.env["ENABLE_RATINGS"] === "true";
const starColor = process.env["STAR_COLOR"] ?? "black";
const ratingsUrl = `http://${process.env["RATINGS_HOSTNAME"] ?? "ratings"}:${process.env["RATINGS_SERVICE_PORT"] ?? "9080"}/ratings`;
const podName = process.env["POD_NAME"] ?? process.env["HOSTNAME"] ?? hostname();

const texts = [
  ["Reviewer1", "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!"],
  [
    "Reviewer2",
    "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.",
  ],
] as const;

serve(`reviews-${version}`, async (request, response, url) => {
  const id = /^\/reviews\/(\d+)$/.exec(url.pathname)?.[1];
  if (id === undefined) {
    sendJson(response, 404, { error: "please ask for /reviews/{product id}" });
    return;
  }
  const stars = ratingsEnabled ? await fetchStars(id, forwardHeaders(request)) : undefined;
  sendJson(response, 200, {
    id,
    podname: podName,
    version,
    reviews: texts.map(([reviewer, text]) => ({ reviewer, text, ...ratingOf(reviewer, stars) })),
  });
});

type Stars = ReadonlyMap<string, number> | "unavailable" | undefined;

async function fetchStars(id: string, headers: Record<string, string>): Promise<Stars> {
  const answer = await get(`${ratingsUrl}/${id}`, headers);
  if (answer.status !== 200) return "unavailable";
  const { ratings } = JSON.parse(answer.body) as { ratings: Record<string, number> };
  return new Map(Object.entries(ratings));
}

function ratingOf(reviewer: string, stars: Stars): object {
  if (stars === undefined) return {};
  if (stars === "unavailable") return { rating: { error: "Ratings service is currently unavailable" } };
  return { rating: { stars: stars.get(reviewer) ?? 0, color: starColor } };
}
