/** Told while a chunk is read, in the order of the frames. */
export interface FrameHandler {
  /**
   * A whole message, unmasked; text is valid UTF-8. The bytes are the receiver's. Right before the payload in its memory
   * stands the header of the same message as a server sends it: unmasked, FIN, text or binary as `binary` says, as
   * `writeHeader` writes it. Messages of one frame each that come whole in one chunk, one right behind the other, stand one
   * right behind the other in memory, headers included.
   */
  message(payload: Buffer, binary: boolean): void
  /** Valid during the call only. */
  ping(payload: Buffer): void
  /** The peer says goodbye; nothing that follows is read. 1005 where it states no code. */
  closing(code: number, reason: Buffer): void
  /** What came breaks the protocol or a bound; nothing that follows is read. */
  broken(code: 1002 | 1007 | 1008 | 1009, why: string): void
}

export interface ReaderBounds {
  /** Bytes of one message, summed over its fragments. */
  readonly maxFrameBytes: number
  /** Fragments of one message, and reads that one frame comes in; past it `broken` 1008. */
  readonly maxPieces: number
  /** Discarded: no `message`, nothing kept, no bound on the size of what is discarded; control frames as ever. */
  readonly messages?: 'taken' | 'discarded'
}
