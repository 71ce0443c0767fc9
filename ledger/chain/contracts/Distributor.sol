// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {RunEscrow} from "./RunEscrow.sol";
import {Settlement} from "./Settlement.sol";

/// @title Pays a run's contributors.
/// @notice Each settled epoch brings a Merkle root over what every account has earned since the run began. A claim
/// pays the difference to what the account already got, so claims can be late, skipped or repeated without harm. Anyone
/// may submit a claim for anyone: the money goes to the account in the leaf.
///
///   leaf = keccak256(bytes.concat(keccak256(abi.encode(
///            uint256 chainId, address distributor, bytes32 runId, address token, address account,
///            uint256 cumulativeAmount))))
///
/// @dev What was released for an epoch stays claimable after the run has ended. Roots of earlier epochs stay valid, so
/// that a claim on its way when a new epoch settles still lands; signers must never lower an account's cumulative
/// amount. A delay before a root becomes active, with a veto in it, can be added where `settlements` is written and read.
contract Distributor is Settlement {
    using SafeERC20 for IERC20;

    /// @param runId SHA-256 of the run's specification.
    /// @param token What is paid out.
    /// @param sponsor Gets the unspent rest.
    /// @param epochCap Most base units that one epoch can add.
    /// @param idleTimeout Seconds without a settlement until the sponsor may reclaim the rest.
    /// @param signers Ascending addresses whose word settles epochs.
    /// @param threshold How many of them it takes.
    struct Config {
        bytes32 runId;
        IERC20 token;
        address sponsor;
        uint256 epochCap;
        uint256 idleTimeout;
        address[] signers;
        uint256 threshold;
    }

    /// @notice A settled epoch, as in its statement.
    struct Record {
        bytes32 logRoot;
        bytes32 payoutRoot;
        uint256 cumulativeTotal;
    }

    IERC20 public immutable token;
    RunEscrow public immutable escrow;

    /// @notice The last settled epoch; 0 before the first.
    uint64 public lastEpoch;
    /// @notice What was settled for an epoch; all zero for others.
    mapping(uint64 epoch => Record) public settlements;
    /// @notice Base units paid to an account so far.
    mapping(address account => uint256) public claimed;

    event Settled(uint64 indexed epoch, bytes32 logRoot, bytes32 payoutRoot, uint256 cumulativeTotal);
    event Claimed(address indexed account, uint64 indexed epoch, uint256 amount, uint256 cumulativeAmount);
    event Finished(uint64 indexed lastEpoch);

    error EpochNotAscending(uint64 epoch, uint64 lastEpoch);
    error TotalDecreased(uint256 total, uint256 lastTotal);
    error ZeroRoot();
    error UnknownEpoch(uint64 epoch);
    error InvalidProof();
    error NothingToClaim(address account, uint256 alreadyClaimed);
    error NotLastEpoch(uint64 epoch, uint64 lastEpoch);

    constructor(Config memory c) Settlement(c.runId, c.signers, c.threshold) {
        token = c.token;
        escrow = new RunEscrow(c.token, c.sponsor, c.epochCap, c.idleTimeout);
    }

    /// @notice Settles an epoch and brings its money here from the escrow, which enforces the cap and the funds.
    function settle(Statement calldata s, bytes[] calldata signatures) external {
        require(s.runId == runId, WrongRun(s.runId, runId));
        require(s.epoch > lastEpoch, EpochNotAscending(s.epoch, lastEpoch));
        uint256 before = settlements[lastEpoch].cumulativeTotal;
        require(s.cumulativeTotal >= before, TotalDecreased(s.cumulativeTotal, before));
        require(s.payoutRoot != 0 && s.logRoot != 0, ZeroRoot());
        _requireQuorum(settlementDigest(s), signatures);

        lastEpoch = s.epoch;
        settlements[s.epoch] = Record(s.logRoot, s.payoutRoot, s.cumulativeTotal);
        emit Settled(s.epoch, s.logRoot, s.payoutRoot, s.cumulativeTotal);
        escrow.release(s.epoch, s.cumulativeTotal - before);
    }

    /// @notice Ends the run: the escrow's rest goes back to the sponsor. `epoch` must be the last settled one, so
    /// that a settlement on its way cannot be cut off by an older statement.
    function finish(uint64 epoch, bytes[] calldata signatures) external {
        require(epoch == lastEpoch, NotLastEpoch(epoch, lastEpoch));
        _requireQuorum(finishDigest(epoch), signatures);
        emit Finished(epoch);
        escrow.close();
    }

    /// @notice Pays an account what it has earned up to `epoch` and not been paid yet.
    /// @param cumulativeAmount The amount in the account's leaf, in base units.
    /// @param proof Sibling hashes from the leaf to the epoch's payout root.
    function claim(uint64 epoch, address account, uint256 cumulativeAmount, bytes32[] calldata proof) external {
        bytes32 root = settlements[epoch].payoutRoot;
        require(root != 0, UnknownEpoch(epoch));
        require(MerkleProof.verifyCalldata(proof, root, leaf(account, cumulativeAmount)), InvalidProof());
        uint256 paid = claimed[account];
        require(cumulativeAmount > paid, NothingToClaim(account, paid));

        claimed[account] = cumulativeAmount;
        uint256 amount = cumulativeAmount - paid;
        emit Claimed(account, epoch, amount, cumulativeAmount);
        token.safeTransfer(account, amount);
    }

    /// @notice The leaf of an account's cumulative amount in this contract's payout trees.
    function leaf(address account, uint256 cumulativeAmount) public view returns (bytes32) {
        return keccak256(
            bytes.concat(
                keccak256(
                    abi.encode(block.chainid, address(this), runId, address(token), account, cumulativeAmount)
                )
            )
        );
    }
}
