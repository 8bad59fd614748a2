// One Prometheus page out of three: the proxy's, the agent's and the application's own. A part that fails is left
// out, counted and never keeps the others away.
import { request } from "node:http";
import type { MetricRegistry } from "#base/metrics/registry.ts";

export interface ScrapeTarget {
  readonly port: number;
  readonly path: string;
}

export interface MergedMetricsOptions {
  /** The proxy's page. */
  readonly proxy: () => string | Promise<string>;
  readonly agent: MetricRegistry;
  readonly targets: readonly ScrapeTarget[];
  /** Default `127.0.0.1`. */
  readonly host?: string;
  readonly timeoutMs: number;
}

const maxPageBytes = 16 * 1024 * 1024;

export async function mergedMetrics(options: MergedMetricsOptions): Promise<string> {
  const failures = options.agent.counter("istio_agent_scrape_failures_total", "Pages that could not be read.", [
    "type",
  ]);
  options.agent.counter("istio_agent_scrapes_total", "Merged pages that were asked for.").labels().increment();
  const attempt = async (type: string, read: () => string | Promise<string>): Promise<string> => {
    try {
      return await read();
    } catch {
      failures.labels(type).increment();
      return "";
    }
  };
  const [proxy, ...apps] = await Promise.all([
    attempt("envoy", options.proxy),
    ...options.targets.map((target) => attempt("application", () => scrape(target, options))),
  ]);
  return [proxy ?? "", options.agent.expose(), ...apps].map(asPart).join("");
}

/** A page's end marker would end the whole; its last line needs its line feed. */
function asPart(page: string): string {
  const text = page.replace(/^# EOF\s*$/m, "");
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

function scrape(target: ScrapeTarget, options: MergedMetricsOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({
      host: options.host ?? "127.0.0.1",
      port: target.port,
      path: target.path,
      agent: false,
      headers: { accept: "text/plain;version=0.0.4;q=1,*/*;q=0.1" },
    });
    const deadline = setTimeout(() => call.destroy(new Error("timed out")), options.timeoutMs);
    call.on("error", reject);
    call.on("close", () => clearTimeout(deadline));
    call.on("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", reject);
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxPageBytes) call.destroy(new Error("the page is too large"));
        else chunks.push(chunk);
      });
      response.on("end", () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString("utf8"));
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    call.end();
  });
}
