// The contract between a stream and its filters (http/filter.ts): who is called when, with what, and what a verdict
// does, in both directions. The filters here are scripts; everything around them is the data path, with node:http on
// both sides.
import assert from "node:assert/strict";
import { constants } from "node:http2";
import { connect } from "node:net";
import { type TestContext, test } from "node:test";
import { Headers } from "#wire/http/headers.ts";
import { CONTINUE, DONE, HOLD, type HttpFilter, PAUSE } from "../http/filter.ts";
import type { LocalReply } from "../http/local-replies.ts";
import type { Stream } from "../http/stream.ts";
import { clusterOn } from "./testing/data-path.ts";
import {
  type FilterBench,
  type FilterBenchOptions,
  filterBench,
  filteredRoute,
  script,
} from "./testing/filter-bench.ts";
import { askHttp2, http2Server, http2Session } from "./testing/http2-peers.ts";
import { ask, sendRaw, until } from "./testing/requests.ts";

async function bench(t: TestContext, options: FilterBenchOptions): Promise<FilterBench> {
  const started = await filterBench(options);
  t.after(() => started.stop());
  return started;
}

const refused: LocalReply = { status: 418, flag: "", details: "refused_by_test", body: "no" };

/** Answers with what it was asked: method, target, framing and body. */
const echo: FilterBenchOptions["upstream"] = (req, res) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => {
    const { "content-length": length, "transfer-encoding": coding } = req.headers;
    const trailers = JSON.stringify(req.trailers);
    res.end(`${req.method} ${length ?? coding ?? "none"} [${Buffer.concat(chunks).toString()}] ${trailers}`);
  });
};

/** Writes down which hooks are called, with what. */
function recorder(name: string, calls: string[], filter: HttpFilter = {}): HttpFilter {
  return {
    onRequestHeaders: (stream, headers, end) => {
      calls.push(`${name} request ${end}`);
      return filter.onRequestHeaders?.(stream, headers, end) ?? CONTINUE;
    },
    onRequestData: (stream, data) => {
      calls.push(`${name} request data ${data.toString()}`);
      return filter.onRequestData === undefined ? data : filter.onRequestData(stream, data);
    },
    onRequestEnd: (stream, trailers) => {
      calls.push(`${name} request end`);
      return filter.onRequestEnd?.(stream, trailers) ?? CONTINUE;
    },
    onResponseHeaders: (stream, headers, end) => {
      calls.push(`${name} response ${stream.responseStatus} ${end}`);
      return filter.onResponseHeaders?.(stream, headers, end) ?? CONTINUE;
    },
    onResponseData: (stream, data) => {
      calls.push(`${name} response data ${data.toString()}`);
      return filter.onResponseData === undefined ? data : filter.onResponseData(stream, data);
    },
    onResponseEnd: (stream, trailers) => {
      calls.push(`${name} response end`);
      return filter.onResponseEnd?.(stream, trailers) ?? CONTINUE;
    },
    onComplete: (stream) => {
      calls.push(`${name} complete`);
      filter.onComplete?.(stream);
    },
  };
}

test("a request passes the filters in order and its response in reverse, each hook once", async (t) => {
  const calls: string[] = [];
  const filters = ["a", "b"].map((name) => script(() => recorder(name, calls)));
  const { path } = await bench(t, { filters, upstream: (_req, res) => void res.end("yes") });
  assert.equal((await ask(path, "/", { method: "POST", headers: { "content-length": 2 } }, "hi")).body, "yes");
  await until(() => calls.length === 14);
  assert.equal(
    calls.join(", "),
    "a request false, b request false, a request data hi, b request data hi, a request end, b request end, " +
      "b response 200 false, a response 200 false, b response data yes, a response data yes, " +
      "b response end, a response end, a complete, b complete",
  );
});

test("a message without a body ends with its head, and its end hook is called all the same", async (t) => {
  const calls: string[] = [];
  const { path } = await bench(t, {
    filters: [script(() => recorder("a", calls))],
    upstream: (_req, res) => void res.writeHead(204).end(),
  });
  assert.equal((await ask(path, "/")).status, 204);
  await until(() => calls.length === 5);
  assert.deepEqual(calls, ["a request true", "a request end", "a response 204 true", "a response end", "a complete"]);
});

test("a paused request goes no further, its body is held in order, and reading stops", async (t) => {
  const calls: string[] = [];
  let paused: Stream | null = null;
  const first = script(() => ({
    onRequestHeaders: (stream) => {
      paused = stream;
      return PAUSE;
    },
  }));
  let received = 0;
  const { path } = await bench(t, {
    filters: [first, script(() => recorder("after", calls, { onRequestData: (_stream, data) => data }))],
    upstream: (req, res) => {
      req.on("data", (chunk: Buffer) => (received += chunk.length));
      req.on("end", () => res.end(String(received)));
    },
  });
  const total = 8 * 1024 * 1024;
  let written = 0;
  const answer = new Promise<string>((resolve) => {
    const socket = connect(path.port(), "127.0.0.1");
    socket.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${total}\r\n\r\n`);
    const chunk = Buffer.alloc(64 * 1024, "x");
    const write = (): void => {
      while (written < total) {
        written += chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on("drain", write);
    write();
    socket.on("data", (data) => {
      resolve(data.toString());
      socket.destroy();
    });
  });
  await until(() => paused !== null);
  await new Promise((resolve) => setImmediate(resolve));
  const stream = paused as unknown as Stream;
  assert.deepEqual(calls, []);
  const before = stream.requestBytes;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(stream.requestBytes === before && before < 512 * 1024, `${stream.requestBytes} bytes were read`);
  stream.resumeRequest();
  assert.match(await answer, new RegExp(`${total}$`));
  assert.equal(calls[0], "after request false");
});

test("two filters may pause one request in turn, and every chunk passes both once", async (t) => {
  const calls: string[] = [];
  const streams: Stream[] = [];
  const pausing = (name: string): HttpFilter =>
    recorder(name, calls, {
      onRequestHeaders: (stream) => {
        streams.push(stream);
        return PAUSE;
      },
    });
  const { path } = await bench(t, {
    filters: [script(() => pausing("a")), script(() => pausing("b"))],
    upstream: echo,
  });
  const raw = sendRaw(
    path.port(),
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n",
    {
      end: true,
    },
  );
  await until(() => streams.length === 1);
  streams[0]?.resumeRequest();
  await until(() => streams.length === 2);
  streams[1]?.resumeRequest();
  assert.match(await raw, /POST chunked \[12\]/);
  assert.equal(
    calls.filter((call) => call.includes("request")).join(", "),
    "a request false, b request false, a request data 1, a request data 2, a request end, " +
      "b request data 1, b request data 2, b request end",
  );
});

test("a filter that holds the head gets data and end, and may give another body", async (t) => {
  const calls: string[] = [];
  const holding = script(() => {
    let kept = "";
    const filter: HttpFilter = {
      onRequestHeaders: () => HOLD,
      onRequestData: (_stream, data) => {
        kept += data.toString();
        return null;
      },
      onRequestEnd: (stream) => {
        stream.forgetRequestLength();
        stream.sendRequestData(filter, Buffer.from(kept.toUpperCase() + kept));
        stream.resumeRequest();
        return CONTINUE;
      },
    };
    return filter;
  });
  const { path } = await bench(t, { filters: [holding, script(() => recorder("after", calls))], upstream: echo });
  const { body } = await ask(path, "/", { method: "PUT", headers: { "content-length": 2 } }, "hi");
  assert.equal(body, "PUT chunked [HIhi] {}");
  assert.deepEqual(calls.slice(0, 3), ["after request false", "after request data HIhi", "after request end"]);
});

test("a filter may add a body to a request that has none, or take one away", async (t) => {
  const calls: string[] = [];
  const adding = script(() => {
    const filter: HttpFilter = {
      onRequestHeaders: (stream, _headers, end) => {
        assert.equal(end, true);
        stream.forgetRequestLength();
        stream.sendRequestData(filter, Buffer.from("made"));
        return CONTINUE;
      },
      onResponseHeaders: (stream) => {
        stream.forgetResponseLength();
        stream.sendResponseData(filter, Buffer.from("> "));
        return CONTINUE;
      },
    };
    return filter;
  });
  const added = await bench(t, { filters: [adding, script(() => recorder("after", calls))], upstream: echo });
  assert.equal((await ask(added.path, "/")).body, "> GET chunked [made] {}");
  assert.deepEqual(calls.slice(0, 3), ["after request false", "after request data made", "after request end"]);
  const taking = script(() => ({
    onRequestHeaders: (stream) => {
      stream.forgetRequestLength();
      return CONTINUE;
    },
    onRequestData: () => null,
  }));
  const taken = await bench(t, { filters: [taking], upstream: echo });
  const { body } = await ask(taken.path, "/", { method: "POST", headers: { "content-length": 2 } }, "hi");
  assert.equal(body, "POST chunked [] {}");
});

test("a filter may keep data and send it on later, before the end or at it", async (t) => {
  const later = script(() => {
    let kept = "";
    const filter: HttpFilter = {
      onRequestHeaders: (stream) => {
        stream.forgetRequestLength();
        return CONTINUE;
      },
      onRequestData: (stream, data) => {
        kept += data.toString();
        stream.manager.environment.loop.after(1, () => {
          stream.sendRequestData(filter, Buffer.from(`<${kept}>`));
          kept = "";
        });
        return null;
      },
      onRequestEnd: (stream) => {
        stream.manager.environment.loop.after(5, () => stream.resumeRequest());
        return PAUSE;
      },
    };
    return filter;
  });
  const { path } = await bench(t, { filters: [later], upstream: echo });
  const { body } = await ask(path, "/", { method: "POST", headers: { "content-length": 2 } }, "hi");
  assert.equal(body, "POST chunked [<hi>] {}");
});

test("trailers pass the end hooks, which may change, add and take them", async (t) => {
  const changing = script(() => ({
    onRequestEnd: (_stream, trailers) => {
      trailers?.set("x-end", "changed");
      return CONTINUE;
    },
    onResponseEnd: (stream, trailers) => {
      assert.equal(trailers?.get("x-sum"), "1");
      stream.responseTrailers = new Headers();
      stream.responseTrailers.add("x-other", "2");
      return CONTINUE;
    },
  }));
  const { path } = await bench(t, {
    filters: [changing],
    upstream: (req, res) => {
      req.resume();
      req.on("end", () => {
        res.writeHead(200, { trailer: "x-sum" });
        res.write(JSON.stringify(req.trailers));
        res.addTrailers({ "x-sum": "1" });
        res.end();
      });
    },
  });
  const head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
  const text = await sendRaw(path.port(), `${head}0\r\nx-end: sent\r\n\r\n`);
  assert.match(text, /\{"x-end":"changed"\}/);
  assert.match(text, /0\r\nx-other: 2\r\n\r\n$/);
});

test("a paused response sends nothing to the client and stops the upstream until it is resumed", async (t) => {
  const calls: string[] = [];
  let paused: Stream | null = null;
  const pausing = script(() => ({
    onResponseHeaders: (stream) => {
      paused = stream;
      return PAUSE;
    },
  }));
  const total = 16 * 1024 * 1024;
  let flushed = 0;
  const { path } = await bench(t, {
    filters: [script(() => recorder("before", calls, { onResponseData: (_stream, data) => data })), pausing],
    upstream: (_req, res) => {
      res.writeHead(200, { "content-length": total });
      const chunk = Buffer.alloc(64 * 1024, "x");
      const write = (): void => {
        while (flushed < total) {
          flushed += chunk.length;
          if (!res.write(chunk)) return;
        }
        res.end();
      };
      res.on("drain", write);
      write();
    },
  });
  const answer = ask(path, "/");
  await until(() => paused !== null);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(flushed < total, "the upstream waits");
  assert.deepEqual(calls.slice(2), []);
  (paused as unknown as Stream).resumeResponse();
  assert.equal((await answer).body.length, total);
});

test("a filter that holds a response's head may replace the body, also of one without a body", async (t) => {
  const replacing = script(() => {
    let kept = "";
    const filter: HttpFilter = {
      onResponseHeaders: () => HOLD,
      onResponseData: (_stream, data) => {
        kept += data.toString();
        return null;
      },
      onResponseEnd: (stream) => {
        stream.forgetResponseLength();
        stream.sendResponseData(filter, Buffer.from(`<${kept}>`));
        stream.resumeResponse();
        return CONTINUE;
      },
    };
    return filter;
  });
  const { path } = await bench(t, {
    filters: [replacing],
    upstream: (req, res) => void res.end(req.url === "/empty" ? "" : "long body"),
  });
  const full = await ask(path, "/");
  assert.deepEqual([full.body, full.headers["transfer-encoding"]], ["<long body>", "chunked"]);
  assert.equal((await ask(path, "/empty")).body, "<>");
});

test("a filter may keep the end of a response, and add to the body before it", async (t) => {
  const adding = script(() => {
    const filter: HttpFilter = {
      onResponseHeaders: (stream) => {
        stream.forgetResponseLength();
        return CONTINUE;
      },
      onResponseEnd: (stream) => {
        stream.manager.environment.loop.after(2, () => {
          stream.sendResponseData(filter, Buffer.from("!"));
          stream.resumeResponse();
        });
        return PAUSE;
      },
    };
    return filter;
  });
  const { path } = await bench(t, { filters: [adding], upstream: (_req, res) => void res.end("yes") });
  assert.equal((await ask(path, "/")).body, "yes!");
});

test("what a filter answers itself never reaches the upstream, and passes all filters as a response", async (t) => {
  let reached = 0;
  const hooks = ["onRequestHeaders", "onRequestData", "onRequestEnd"] as const;
  for (const hook of hooks) {
    const calls: string[] = [];
    const answer = (stream: Stream): void => stream.sendLocalReply(refused, "a test refuses", []);
    const refusing = script(() => ({
      onRequestHeaders: (stream) => {
        if (hook !== "onRequestHeaders") return HOLD;
        answer(stream);
        return DONE;
      },
      onRequestData: (stream) => {
        if (hook === "onRequestData") answer(stream);
        return null;
      },
      onRequestEnd: (stream) => {
        answer(stream);
        return DONE;
      },
    }));
    const { path } = await bench(t, {
      filters: [script(() => recorder("a", calls)), refusing, script(() => recorder("c", calls))],
      upstream: (_req, res) => {
        reached++;
        res.end();
      },
    });
    const { status, body } = await ask(path, "/", { method: "POST", headers: { "content-length": 2 } }, "hi");
    assert.deepEqual([status, body], [418, "no"], hook);
    await until(() => path.logs.length === 1);
    assert.equal(path.logs[0]?.["responseCodeDetails"], "refused_by_test");
    const responses = ["c response 418 false", "a response 418 false", "c response data no", "a response data no"];
    assert.deepEqual(
      calls.filter((call) => !call.startsWith("a request")),
      [...responses, "c response end", "a response end", "a complete", "c complete"],
      hook,
    );
  }
  assert.equal(reached, 0);
});

test("a local reply in place of a response that filters have seen goes to the client as it is", async (t) => {
  const calls: string[] = [];
  const refusing = script(() => ({
    onResponseHeaders: (stream) => {
      stream.manager.environment.loop.after(2, () => {
        stream.sendLocalReply(refused, "a test refuses", []);
        // Too late: nobody listens any more.
        stream.resumeResponse();
      });
      return PAUSE;
    },
  }));
  const { path } = await bench(t, {
    filters: [script(() => recorder("a", calls)), refusing, script(() => recorder("c", calls))],
    upstream: (_req, res) => void res.end("secret"),
  });
  const { status, body } = await ask(path, "/");
  assert.deepEqual([status, body], [418, "no"]);
  assert.deepEqual(
    calls.filter((call) => call.includes("response")),
    // The filter before the one that paused has seen all of the upstream's response; nobody sees the reply.
    ["c response 200 false", "c response data secret", "c response end"],
  );
});

test("a refusal from a response hook replaces the head; after the head it cuts the response short", async (t) => {
  const early = script(() => ({
    onResponseHeaders: (stream) => {
      stream.sendLocalReply(refused, "a test refuses", []);
      return DONE;
    },
  }));
  const first = await bench(t, { filters: [early], upstream: (_req, res) => void res.end("secret") });
  assert.equal((await ask(first.path, "/")).status, 418);
  const late = script(() => ({
    onResponseData: (stream) => {
      stream.sendLocalReply(refused, "a test refuses", []);
      return null;
    },
  }));
  const second = await bench(t, { filters: [late], upstream: (_req, res) => void res.end("secret") });
  const text = await sendRaw(second.path.port(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  assert.doesNotMatch(text, /secret|418/);
  await until(() => second.path.logs.length === 1);
  assert.equal(second.path.logs[0]?.["responseCodeDetails"], "refused_by_test");
});

test("a client that goes away ends a paused stream once, and what filters do afterwards is without effect", async (t) => {
  let paused: Stream | null = null;
  let completed = 0;
  let reached = 0;
  const filter: HttpFilter = {
    onRequestHeaders: (stream) => {
      paused = stream;
      return PAUSE;
    },
    onComplete: () => void completed++,
  };
  const { path } = await bench(t, {
    filters: [script(() => filter)],
    upstream: (_req, res) => {
      reached++;
      res.end();
    },
  });
  const client = connect(path.port(), "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await until(() => paused !== null);
  client.resetAndDestroy();
  await until(() => completed === 1);
  const stream = paused as unknown as Stream;
  stream.resumeRequest();
  stream.sendRequestData(filter, Buffer.from("x"));
  stream.sendResponseData(filter, Buffer.from("x"));
  stream.sendLocalReply(refused, "too late", []);
  stream.resumeResponse();
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual([completed, reached, path.logs.length], [1, 0, 1]);
  assert.equal(path.logs[0]?.["responseFlags"], "DC");
});

test("a request is read on when everybody who paused it has let go", async (t) => {
  let stream: Stream | null = null;
  let received = 0;
  const { path } = await bench(t, {
    filters: [
      script(() => ({
        onRequestHeaders: (it) => {
          stream = it;
          it.pauseRequest();
          it.pauseRequest();
          return CONTINUE;
        },
        onRequestData: (_stream, data) => {
          received += data.length;
          return data;
        },
      })),
    ],
    upstream: echo,
  });
  const socket = connect(path.port(), "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => (answer += data.toString()));
  socket.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
  await until(() => stream !== null);
  socket.write("body");
  const held = stream as unknown as Stream;
  held.unpauseRequest();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(received, 0);
  held.unpauseRequest();
  await until(() => answer.includes("[body]"));
  socket.destroy();
});

test("a filter that slows a response down holds the upstream back", async (t) => {
  const total = 8 * 1024 * 1024;
  let most = 0;
  const slow = script(() => {
    const kept: Buffer[] = [];
    let keptBytes = 0;
    let isPaused = false;
    const filter: HttpFilter = {
      onResponseData: (stream, data) => {
        kept.push(data);
        keptBytes += data.length;
        most = Math.max(most, keptBytes);
        if (keptBytes > 256 * 1024 && !isPaused) {
          isPaused = true;
          stream.pauseResponse();
          stream.manager.environment.loop.after(1, () => {
            for (const data of kept.splice(0)) stream.sendResponseData(filter, data);
            keptBytes = 0;
            isPaused = false;
            stream.unpauseResponse();
          });
        }
        return null;
      },
      onResponseEnd: (stream) => {
        stream.manager.environment.loop.after(2, () => {
          for (const data of kept.splice(0)) stream.sendResponseData(filter, data);
          stream.resumeResponse();
        });
        return PAUSE;
      },
    };
    return filter;
  });
  const { path } = await bench(t, {
    filters: [slow],
    upstream: (_req, res) => void res.end(Buffer.alloc(total, "x")),
  });
  assert.equal((await ask(path, "/")).body.length, total);
  assert.ok(most < 1024 * 1024, `${most} bytes were kept`);
});

test("routes switch filters off and on, and each stream has filter objects of its own", async (t) => {
  const made: string[] = [];
  const counting = (name: string, disabled = false): ReturnType<typeof script> =>
    script(
      (stream) => {
        made.push(`${name} ${stream.path}`);
        return {
          onResponseHeaders: (_stream, headers) => {
            headers.add(`x-${name}`, "1");
            return CONTINUE;
          },
        };
      },
      { name, disabled },
    );
  const { path } = await bench(t, {
    filters: [counting("a"), counting("b", true)],
    upstream: (_req, res) => void res.end(),
    routes: [
      filteredRoute("/off", { a: { disabled: true } }),
      filteredRoute("/both", { b: {} }),
      filteredRoute("/", {}),
    ],
  });
  const seen = async (target: string): Promise<unknown[]> => {
    const { headers } = await ask(path, target);
    return [headers["x-a"], headers["x-b"]];
  };
  assert.deepEqual(await seen("/off"), [undefined, undefined]);
  assert.deepEqual(await seen("/both"), ["1", "1"]);
  assert.deepEqual(await seen("/1"), ["1", undefined]);
  assert.deepEqual(await seen("/2"), ["1", undefined]);
  assert.deepEqual(made, ["a /both", "b /both", "a /1", "a /2"]);
});

test("a filter without state gets an object with state for the streams that need one", async (t) => {
  const calls: string[] = [];
  const attached = (name: string): HttpFilter => recorder(name, calls);
  const shared: HttpFilter = {
    onRequestHeaders: (stream) => {
      if (stream.path === "/request") stream.attach(shared, attached("own"));
      return CONTINUE;
    },
    onResponseHeaders: (stream) => {
      if (stream.path === "/response") stream.attach(shared, attached("own"));
      return CONTINUE;
    },
  };
  const { path } = await bench(t, {
    filters: [script(() => recorder("a", calls)), script(() => shared), script(() => recorder("c", calls))],
    upstream: (_req, res) => void res.end("yes"),
  });
  const callsOf = async (target: string): Promise<string> => {
    calls.length = 0;
    await ask(path, target, { method: "POST", headers: { "content-length": 2 } }, "hi");
    await until(() => calls.includes("c complete"));
    return calls.filter((call) => !/request end|response end|complete/.test(call)).join(", ");
  };
  const requests = "a request false, c request false, a request data hi, c request data hi";
  const responses = "c response 200 false, a response 200 false";
  assert.equal(await callsOf("/none"), `${requests}, ${responses}, c response data yes, a response data yes`);
  assert.equal(
    await callsOf("/request"),
    "a request false, c request false, a request data hi, own request data hi, c request data hi, " +
      "c response 200 false, own response 200 false, a response 200 false, " +
      "c response data yes, own response data yes, a response data yes",
  );
  assert.equal(
    await callsOf("/response"),
    `${requests}, ${responses}, c response data yes, own response data yes, a response data yes`,
  );
});

test("routes speak to filters through the wrapper FilterConfig too: off, on, and with settings", async (t) => {
  const fault = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
  const wrapper = (yaml: string): string =>
    `typed_per_filter_config: { fault: { "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, ${yaml} } }`;
  const abort = (status: number): string => `abort: { http_status: ${status}, percentage: { numerator: 100 } }`;
  const chain = (more: string): string =>
    `[{ name: fault, ${more} typed_config: { "@type": ${fault}, ${abort(500)} } }]`;
  const routes = `
routes:
- { match: { prefix: /off }, route: { cluster: app }, ${wrapper("disabled: true")} }
- { match: { prefix: /on }, route: { cluster: app }, ${wrapper("config: {}")} }
- { match: { prefix: /own }, route: { cluster: app }, ${wrapper(`config: { "@type": ${fault}, ${abort(418)} }`)} }
- { match: { prefix: / }, route: { cluster: app } }`;
  const upstream: FilterBenchOptions["upstream"] = (_req, res) => void res.end();
  const statuses = async (filters: string): Promise<number[]> => {
    const { path } = await bench(t, { filters, routes, upstream });
    const answers = ["/off", "/on", "/own", "/"].map(async (target) => (await ask(path, target)).status);
    return Promise.all(answers);
  };
  assert.deepEqual(await statuses(chain("")), [200, 500, 418, 500]);
  assert.deepEqual(await statuses(chain("disabled: true,")), [200, 500, 418, 200]);
});

test("over HTTP/2 a response that ends with its head ends there, whatever filters are called at its end", async (t) => {
  const calls: string[] = [];
  const server = await http2Server((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true });
  });
  t.after(() => server.stop());
  const { path } = await bench(t, { filters: [script(() => recorder("a", calls))], upstream: echo });
  path.clusters.update(clusterOn("app", [server.port], { upstreamProtocol: "http2" }));
  const session = http2Session(path.port());
  t.after(() => session.destroy());
  const stream = session.request({ ":path": "/", ":method": "POST", "content-type": "application/grpc" });
  const head = new Promise<{ flags: number; status: unknown }>((resolve) => {
    stream.on("response", (headers, flags) => resolve({ flags, status: headers["grpc-status"] }));
  });
  stream.end("hi");
  const { flags, status } = await head;
  assert.deepEqual([status, flags & constants.NGHTTP2_FLAG_END_STREAM], ["5", constants.NGHTTP2_FLAG_END_STREAM]);
  await until(() => calls.includes("a complete"));
  assert.deepEqual(
    calls.filter((call) => call.includes("response")),
    ["a response 200 true", "a response end"],
  );
});

test("over HTTP/2 one paused stream does not hold up another one of the same connection", async (t) => {
  let paused: Stream | null = null;
  const pausing = script((stream) => ({
    onRequestHeaders: () => {
      if (stream.path !== "/paused") return CONTINUE;
      paused = stream;
      return PAUSE;
    },
  }));
  const { path } = await bench(t, { filters: [pausing], upstream: echo });
  const session = http2Session(path.port());
  t.after(() => session.destroy());
  const body = Buffer.alloc(256 * 1024, "x");
  const slow = askHttp2(session, { ":path": "/paused", ":method": "POST" }, body);
  await until(() => paused !== null);
  const fast = await askHttp2(session, { ":path": "/", ":method": "POST" }, body);
  assert.equal(fast.status, 200);
  (paused as unknown as Stream).resumeRequest();
  assert.equal((await slow).body, fast.body);
});

test("a filter that breaks when a stream ends does not keep the others from being told", async (t) => {
  const broken: unknown[] = [];
  const calls: string[] = [];
  const breaking = script(() => ({
    onComplete: () => {
      throw new Error("broken");
    },
  }));
  const { path } = await bench(t, {
    filters: [breaking, script(() => recorder("b", calls))],
    upstream: (_req, res) => void res.end(),
    path: { onBroken: (error) => void broken.push(error) },
  });
  assert.equal((await ask(path, "/")).status, 200);
  await until(() => calls.includes("b complete"));
  assert.equal(broken.length, 1);
});

test("a request that is refused before it has a route passes the filters as a response only", async (t) => {
  const calls: string[] = [];
  const { path } = await bench(t, { filters: [script(() => recorder("a", calls))], upstream: echo });
  const text = await sendRaw(path.port(), "GET / HTTP/1.1\r\n\r\n");
  assert.match(text, /^HTTP\/1.1 400/);
  assert.deepEqual(calls, ["a response 400 true", "a response end", "a complete"]);
});
