// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title What a run's aggregators sign, and who they are.
/// @notice A statement counts when at least `threshold` of the registered signers signed its EIP-712 digest. The domain
/// binds the chain and this contract, the statement binds the run and the epoch.
/// @dev Signatures are looked up in the set of the moment, so statements of a replaced set lapse with it.
abstract contract Settlement is EIP712 {
    /// @notice One epoch's result.
    /// @param runId SHA-256 of the run's specification.
    /// @param epoch Strictly ascending; gaps are allowed.
    /// @param logRoot Root of the run's transparency log that the payouts follow from.
    /// @param payoutRoot Root of the tree of cumulative payouts (see Distributor).
    /// @param cumulativeTotal Sum of all cumulative payouts in that tree, in base units.
    struct Statement {
        bytes32 runId;
        uint64 epoch;
        bytes32 logRoot;
        bytes32 payoutRoot;
        uint256 cumulativeTotal;
    }

    uint256 public constant MAX_SIGNERS = 64;

    bytes32 private constant STATEMENT_TYPEHASH = keccak256(
        "Settlement(bytes32 runId,uint64 epoch,bytes32 logRoot,bytes32 payoutRoot,uint256 cumulativeTotal)"
    );
    bytes32 private constant FINISH_TYPEHASH = keccak256("Finish(bytes32 runId,uint64 lastEpoch)");
    bytes32 private constant ROTATION_TYPEHASH =
        keccak256("Rotation(bytes32 runId,uint64 sequence,address[] signers,uint256 threshold)");

    bytes32 public immutable runId;
    /// @notice Signatures that a statement needs.
    uint256 public threshold;
    /// @notice How often the signers were replaced; the next rotation bears the number after it.
    uint64 public rotations;

    mapping(address signer => bool) public isSigner;
    address[] private _signers;

    event Rotated(uint64 indexed sequence, address[] signers, uint256 threshold);

    error InvalidSigners();
    error InvalidThreshold(uint256 threshold, uint256 signers);
    error QuorumNotReached(uint256 signatures, uint256 threshold);
    error TooManySignatures(uint256 signatures, uint256 signers);
    error UnknownSigner(address recovered);
    error SignersNotAscending(address previous, address next);
    error WrongRun(bytes32 got, bytes32 want);
    error WrongSequence(uint64 got, uint64 want);

    /// @param signers_ Ascending, without duplicates or the zero address; 1 to MAX_SIGNERS.
    constructor(bytes32 runId_, address[] memory signers_, uint256 threshold_) EIP712("Drystone Settlement", "1") {
        runId = runId_;
        _register(signers_, threshold_);
    }

    /// @notice Replaces the signers, by the word of those registered.
    /// @param sequence One more than the rotations so far, so that none is repeated or skipped.
    /// @param signers_ As at creation.
    function rotate(
        uint64 sequence,
        address[] calldata signers_,
        uint256 threshold_,
        bytes[] calldata signatures
    ) external {
        require(sequence == rotations + 1, WrongSequence(sequence, rotations + 1));
        _requireQuorum(rotationDigest(sequence, signers_, threshold_), signatures);
        rotations = sequence;
        for (uint256 i = 0; i < _signers.length; ++i) {
            isSigner[_signers[i]] = false;
        }
        _register(signers_, threshold_);
        emit Rotated(sequence, signers_, threshold_);
    }

    /// @notice The registered signers, ascending.
    function signers() external view returns (address[] memory) {
        return _signers;
    }

    /// @notice The digest that a signer signs to settle an epoch.
    function settlementDigest(Statement calldata s) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(STATEMENT_TYPEHASH, s.runId, s.epoch, s.logRoot, s.payoutRoot, s.cumulativeTotal)
            )
        );
    }

    /// @notice The digest that a signer signs to end the run after `lastEpoch`.
    function finishDigest(uint64 lastEpoch) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(FINISH_TYPEHASH, runId, lastEpoch)));
    }

    /// @notice The digest that a signer signs to hand over to another set.
    function rotationDigest(
        uint64 sequence,
        address[] calldata signers_,
        uint256 threshold_
    ) public view returns (bytes32) {
        bytes32 list = keccak256(abi.encodePacked(signers_)); // an array's elements are padded to words, as EIP-712 wants
        return _hashTypedDataV4(keccak256(abi.encode(ROTATION_TYPEHASH, runId, sequence, list, threshold_)));
    }

    function _register(address[] memory signers_, uint256 threshold_) private {
        uint256 n = signers_.length;
        require(n != 0 && n <= MAX_SIGNERS, InvalidSigners());
        require(threshold_ != 0 && threshold_ <= n, InvalidThreshold(threshold_, n));
        address previous = address(0);
        for (uint256 i = 0; i < n; ++i) {
            require(signers_[i] > previous, InvalidSigners());
            previous = signers_[i];
            isSigner[previous] = true;
        }
        threshold = threshold_;
        _signers = signers_;
    }

    /// @dev Signatures are 65 bytes r|s|v with low s and v of 27 or 28, ordered by the signers' addresses. The order
    /// makes duplicates visible at no cost.
    function _requireQuorum(bytes32 digest, bytes[] calldata signatures) internal view {
        uint256 n = signatures.length;
        require(n >= threshold, QuorumNotReached(n, threshold));
        require(n <= _signers.length, TooManySignatures(n, _signers.length));
        address previous = address(0);
        for (uint256 i = 0; i < n; ++i) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            require(isSigner[signer], UnknownSigner(signer));
            require(signer > previous, SignersNotAscending(previous, signer));
            previous = signer;
        }
    }
}
