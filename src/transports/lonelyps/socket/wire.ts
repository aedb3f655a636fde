/** One WebSocket, as a session sees it. Nothing throws; after the end nothing happens. */
export interface Wire {
  /** Bytes that the connection has not taken yet. */
  readonly pendingBytes: number
  /** Bytes of WebSocket frames, as they are to go out. */
  writeAll(chunks: readonly Buffer[]): void
  /** Waits until there is room for more; `undefined` when there is. Rejects when the connection is gone. */
  room(): Promise<void> | undefined
  /** Nothing more comes in until `resume`, but for what has come already. */
  pause(): void
  resume(): void
  close(code: number, reason: string): void
  destroy(): void
}
