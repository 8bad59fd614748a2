// The details service: what is printed on the book's back.
import { sendJson, serve } from "./service.ts";

serve("details", (_request, response, url) => {
  const id = /^\/details\/(\d+)$/.exec(url.pathname)?.[1];
  if (id === undefined) {
    sendJson(response, 404, { error: "please ask for /details/{product id}" });
    return;
  }
  sendJson(response, 200, {
    id: Number(id),
    author: "William Shakespeare",
    year: 1595,
    type: "paperback",
    pages: 200,
    publisher: "PublisherA",
    language: "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
  });
});
