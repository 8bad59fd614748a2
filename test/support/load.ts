// Requests to the gateway: single ones, many at once, and a steady load that counts every failure.
import { Agent, request } from "node:http";

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** Status 0 and the reason as body when no answer came. */
export function fetchPage(url: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (error: Error): void => resolve({ status: 0, body: error.message, headers: {} });
    const outgoing = request(url, { agent, headers, method, timeout: 15_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString(),
          headers: response.headers,
        }),
      );
      response.once("error", fail);
    });
    outgoing.once("timeout", () => outgoing.destroy(new Error("no answer within 15 s")));
    outgoing.once("error", fail);
    outgoing.end();
  });
}

export async function fetchMany(
  count: number,
  concurrency: number,
  one: (index: number) => Promise<Answer>,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) answers.push(await one(next++));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return answers;
}

export interface LoadReport {
  readonly requests: number;
  /** One line for each of the first requests that did not get a good answer. */
  readonly failures: readonly string[];
}

/** More than these say nothing new, and a report of thousands takes minutes to print. */
const maxFailures = 20;

export interface LoadOptions {
  /** Default 4. */
  readonly concurrency?: number;
  /** What is wrong with an answer; default everything but status 200. */
  readonly problem?: (answer: Answer) => string | undefined;
}

/** Keeps a few requests in flight until stopped. */
export class SteadyLoad {
  readonly #failures: string[] = [];
  readonly #workers: Promise<void>;
  #requests = 0;
  #stopped = false;

  constructor(url: string, { concurrency = 4, problem = statusProblem }: LoadOptions = {}) {
    const workers = Array.from({ length: concurrency }, () => this.#work(url, problem));
    this.#workers = Promise.all(workers).then(() => undefined);
  }

  get requests(): number {
    return this.#requests;
  }

  async stop(): Promise<LoadReport> {
    this.#stopped = true;
    await this.#workers;
    return { requests: this.#requests, failures: this.#failures };
  }

  async #work(url: string, problemOf: NonNullable<LoadOptions["problem"]>): Promise<void> {
    while (!this.#stopped) {
      const answer = await fetchPage(url);
      this.#requests++;
      const problem = problemOf(answer);
      if (problem !== undefined && this.#failures.length < maxFailures)
        this.#failures.push(`${new Date().toISOString()} ${problem}`);
    }
  }
}

function statusProblem({ status, body }: Answer): string | undefined {
  return status === 200 ? undefined : `${status} ${body.slice(0, 200)}`;
}
