// Asks by bytes: an endpoint is well when it can be connected to, and, where that is configured, sends the expected bytes
// for those that were sent.
import type { TcpHealthCheck } from "../../config/health-check.ts";
import type { EventLoop } from "../../transport/event-loop.ts";
import type { SocketFailure } from "../../transport/socket-error.ts";
import type { Transport, TransportUser } from "../../transport/transport.ts";
import { type ConnectTarget, type ConnectUser, PendingConnection } from "../connect.ts";
import { containsInOrder, failure, type Probe, type ProbeAnswer, passed } from "./probe.ts";

/** How much of what is received is kept, beside what is expected. */
const slackBytes = 4096;

export class TcpProbe implements Probe, ConnectUser, TransportUser {
  readonly #loop: EventLoop;
  readonly #check: TcpHealthCheck;
  readonly #target: () => ConnectTarget;
  readonly #keepsConnection: boolean;
  readonly #mostBytes: number;
  #answered: ((answer: ProbeAnswer) => void) | null = null;
  #pending: PendingConnection | null = null;
  #transport: Transport | null = null;
  #received: Buffer = Buffer.alloc(0);

  constructor(loop: EventLoop, check: TcpHealthCheck, target: () => ConnectTarget, keepsConnection: boolean) {
    this.#loop = loop;
    this.#check = check;
    this.#target = target;
    this.#keepsConnection = keepsConnection;
    this.#mostBytes = check.receive.reduce((sum, part) => sum + part.length, slackBytes);
  }

  ask(answered: (answer: ProbeAnswer) => void): void {
    this.#answered = answered;
    this.#received = Buffer.alloc(0);
    if (this.#transport !== null) this.#send(this.#transport);
    else this.#pending = new PendingConnection(this.#loop, this.#target(), this);
  }

  onConnected(transport: Transport): void {
    this.#pending = null;
    this.#transport = transport;
    transport.attach(this);
    if (this.#check.receive.length === 0 && this.#check.send.length === 0) {
      this.#close();
      this.#answer(passed);
      return;
    }
    this.#send(transport);
  }

  #send(transport: Transport): void {
    if (this.#check.send.length > 0) transport.writeBytes(this.#check.send);
    if (this.#check.receive.length === 0) this.#done(passed);
  }

  onConnectFailed(failed: SocketFailure): void {
    this.#pending = null;
    this.#answer(failure("unreachable", failed.words));
  }

  onTransportData(data: Buffer): void {
    if (this.#answered === null) {
      // Unasked for: the connection is no use for the next question.
      this.#close();
      return;
    }
    this.#received = Buffer.concat([this.#received, data]).subarray(-this.#mostBytes);
    if (containsInOrder(this.#received, this.#check.receive)) this.#done(passed);
  }

  onTransportEnd(): void {
    this.#close();
    this.#answer(failure("unreachable", "the connection was closed before the expected bytes came"));
  }

  onTransportDrain(): void {}

  onTransportClose(failed: SocketFailure | null): void {
    // One that was closed here said what there was to say.
    if (this.#transport === null) return;
    this.#transport = null;
    this.#answer(failure("unreachable", failed?.words ?? "the connection was closed"));
  }

  #done(answer: ProbeAnswer): void {
    if (!this.#keepsConnection) this.#close();
    this.#answer(answer);
  }

  #answer(answer: ProbeAnswer): void {
    const answered = this.#answered;
    this.#answered = null;
    answered?.(answer);
  }

  abort(): void {
    this.#answered = null;
    this.#close();
  }

  stop(): void {
    this.abort();
  }

  #close(): void {
    this.#pending?.cancel();
    this.#pending = null;
    const transport = this.#transport;
    this.#transport = null;
    transport?.destroy();
  }
}
