// The product page: HTML made of what details and reviews answer. Signing in sets the `end-user` header that the
// routing rules look at.
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Book, type Failure, type Reviews, renderPage } from "./page.ts";
import { forwardHeaders, get, sendJson, serve } from "./service.ts";

const detailsUrl = `http://${process.env["DETAILS_HOSTNAME"] ?? "details"}:${process.env["DETAILS_SERVICE_PORT"] ?? "9080"}/details`;
const reviewsUrl = `http://${process.env["REVIEWS_HOSTNAME"] ?? "reviews"}:${process.env["REVIEWS_SERVICE_PORT"] ?? "9080"}/reviews`;
const product = { id: 0, title: "The Comedy of Errors" };
const maxFormBytes = 4096;

serve("productpage", async (request, response, url) => {
  switch (url.pathname) {
    case "/":
    case "/index.html":
      return redirect(response, "/productpage");
    case "/productpage":
      return productPage(request, response);
    case "/login":
      return signIn(request, response);
    case "/logout":
      return redirect(response, "/productpage", "user=; Path=/; Max-Age=0");
    case "/api/v1/products":
      return sendJson(response, 200, [product]);
    case "/api/v1/products/0":
      return relay(request, response, `${detailsUrl}/0`);
    case "/api/v1/products/0/reviews":
      return relay(request, response, `${reviewsUrl}/0`);
    default:
      return sendJson(response, 404, { error: `no page at ${url.pathname}` });
  }
});

async function productPage(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const user = signedInUser(request);
  const headers = userHeaders(request);
  const [details, reviews] = await Promise.all([
    fetchJson<Book>(`${detailsUrl}/0`, headers),
    fetchJson<Reviews>(`${reviewsUrl}/0`, headers),
  ]);
  const body = renderPage({ title: product.title, user, details, reviews });
  response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

async function relay(request: IncomingMessage, response: ServerResponse, url: string): Promise<void> {
  const answer = await get(url, userHeaders(request));
  if (answer.status === 0) return sendJson(response, 502, { error: answer.body });
  response.writeHead(answer.status, { "content-type": "application/json" });
  response.end(answer.body);
}

async function fetchJson<T>(url: string, headers: Record<string, string>): Promise<T | Failure> {
  const answer = await get(url, headers);
  if (answer.status !== 200) return { status: answer.status, reason: answer.body.slice(0, 500) };
  return JSON.parse(answer.body) as T;
}

function userHeaders(request: IncomingMessage): Record<string, string> {
  const headers = forwardHeaders(request);
  const user = signedInUser(request);
  return user === undefined ? headers : { ...headers, "end-user": user };
}

function signedInUser(request: IncomingMessage): string | undefined {
  const name = /(?:^|;\s*)user=([A-Za-z0-9_.-]{1,64})/.exec(request.headers.cookie ?? "")?.[1];
  const header = request.headers["end-user"];
  return name ?? (typeof header === "string" ? header : undefined);
}

async function signIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let form = "";
  for await (const chunk of request) {
    form += String(chunk);
    if (form.length > maxFormBytes) return sendJson(response, 413, { error: "form too large" });
  }
  const name = (new URLSearchParams(form).get("username") ?? "").replaceAll(/[^A-Za-z0-9_.-]/g, "").slice(0, 64);
  redirect(response, "/productpage", name === "" ? undefined : `user=${name}; Path=/; HttpOnly`);
}

function redirect(response: ServerResponse, location: string, cookie?: string): void {
  response.writeHead(302, { location, "content-length": 0, ...(cookie !== undefined && { "set-cookie": cookie }) });
  response.end();
}
