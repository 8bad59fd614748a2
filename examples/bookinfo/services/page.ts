// The HTML of the product page. Pure: values in, text out.

export interface Book {
  readonly author: string;
  readonly year: number;
  readonly type: string;
  readonly pages: number;
  readonly publisher: string;
  readonly language: string;
  readonly "ISBN-10": string;
  readonly "ISBN-13": string;
}

export interface Review {
  readonly reviewer: string;
  readonly text: string;
  readonly rating?: { readonly stars?: number; readonly color?: string; readonly error?: string };
}

export interface Reviews {
  readonly podname: string;
  readonly version: string;
  readonly reviews: readonly Review[];
}

export interface Failure {
  readonly status: number;
  readonly reason: string;
}

export interface Page {
  readonly title: string;
  readonly user: string | undefined;
  readonly details: Book | Failure;
  readonly reviews: Reviews | Failure;
}

export function renderPage(page: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simple Bookstore App</title>
<style>
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: #1c2733; background: #f5f7f9; }
header { display: flex; justify-content: space-between; align-items: center; padding: .8rem 2rem; background: #16324f; color: #fff; }
header a { color: #fff; } header form { display: inline } input { padding: .3rem .5rem } button { padding: .3rem .8rem }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; display: grid; grid-template-columns: 1fr 1fr; gap: 2rem; }
h1 { grid-column: 1 / -1; margin: 0 } .summary { grid-column: 1 / -1; margin: 0 }
section { background: #fff; border: 1px solid #dde4ea; border-radius: 8px; padding: 1rem 1.5rem; }
h2 { margin-top: 0; font-size: 1.15rem } dl { display: grid; grid-template-columns: 8rem 1fr; margin: 0 } dt { color: #5b6b7a } dd { margin: 0 }
blockquote { margin: 0 0 1rem; padding-left: 1rem; border-left: 3px solid #dde4ea } small { color: #5b6b7a }
.stars { font-size: 1.3rem; letter-spacing: .1rem } .failure { color: #a4262c }
</style>
</head>
<body>
<header><strong>Bookinfo Sample</strong>${renderSignIn(page.user)}</header>
<main>
<h1>${escape(page.title)}</h1>
<p class="summary">Summary: <a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia</a>: The Comedy of Errors is one of
<b>William Shakespeare's</b> early plays. It is his shortest and one of his most farcical comedies.</p>
<section id="details"><h2>Book Details</h2>
${renderDetails(page.details)}
</section>
<section id="reviews"><h2>Book Reviews</h2>
${renderReviews(page.reviews)}
</section>
</main>
</body>
</html>
`;
}

function renderSignIn(user: string | undefined): string {
  if (user !== undefined) return `<span>${escape(user)} (<a href="/logout">sign out</a>)</span>`;
  return `<form method="post" action="/login"><input name="username" placeholder="jason" aria-label="user name"> <button>Sign in</button></form>`;
}

function renderDetails(details: Book | Failure): string {
  if ("reason" in details) return renderFailure("product details", details);
  const rows: [string, string | number][] = [
    ["Type", details.type],
    ["Pages", details.pages],
    ["Publisher", details.publisher],
    ["Language", details.language],
    ["ISBN-10", details["ISBN-10"]],
    ["ISBN-13", details["ISBN-13"]],
  ];
  return `<dl>${rows.map(([name, value]) => `<dt>${name}</dt><dd>${escape(String(value))}</dd>`).join("")}</dl>`;
}

function renderReviews(reviews: Reviews | Failure): string {
  if ("reason" in reviews) return renderFailure("product reviews", reviews);
  const items = reviews.reviews.map(
    (review) =>
      `<blockquote><p>${escape(review.text)}</p><small>${escape(review.reviewer)}</small> ${renderRating(review)}</blockquote>`,
  );
  return `${items.join("\n")}\n<small>Reviews served by: <b id="reviews-version">${escape(reviews.version)}</b> ${escape(reviews.podname)}</small>`;
}

function renderRating(review: Review): string {
  const rating = review.rating;
  if (rating === undefined) return "";
  if (rating.stars === undefined) return `<p class="failure">${escape(rating.error ?? "no rating")}</p>`;
  const color = /^[a-z]+$/.test(rating.color ?? "") ? rating.color : "black";
  return `<div class="stars" style="color: ${color}" title="${rating.stars} ${color} stars">${"★".repeat(rating.stars)}${"☆".repeat(5 - rating.stars)}</div>`;
}

function renderFailure(what: string, failure: Failure): string {
  const status = failure.status === 0 ? "no answer" : `status ${failure.status}`;
  return `<div class="failure"><p><b>Sorry, ${what} are currently unavailable for this book</b> (${status}).</p><pre>${escape(failure.reason)}</pre></div>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
